import type { MessageInitShape } from "@bufbuild/protobuf";
import type { UserSchema } from "@sandgate/api/auth";
import { type Call, ServiceError } from "@sandgate/rpc";
import { parseLoginName } from "../domain/login-name.ts";
import type { UserChange } from "../domain/user-administration.ts";
import type { UserDirectory } from "../store/user-directory.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";
import { userMessage } from "./user-message.ts";

/** What the methods that change a user need. */
export interface UserChangeDeps {
  readonly directory: Pick<UserDirectory, "change">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}

/** Changes a user of the caller's organization; answers the user as they are now, when everybody knows of it. */
export async function changeUser(
  deps: UserChangeDeps,
  call: Call,
  named: string,
  change: UserChange,
): Promise<MessageInitShape<typeof UserSchema>> {
  const callerUserId = requireUserPrincipal(call).userId;
  const { decision, user, sequence } = await deps.directory.change(
    // no login name has the form of an id
    { callerUserId, user: parseLoginName(named) ?? "", change },
    deps.clock(),
    actorOfCall(call),
  );
  await deps.feed.reached(sequence);
  switch (decision) {
    case "change":
    case "unchanged":
      if (user !== undefined) return userMessage(user);
      throw new Error("a user who was changed is not there");
    case "absent":
      throw new ServiceError("USER_NOT_FOUND", "no such user");
    case "own":
      throw new ServiceError("OWN_ACCOUNT", "this is the caller's own account");
    case "configured":
      throw new ServiceError("USER_FROM_CONFIGURATION", "the configuration names this user");
    case "federated":
      throw new ServiceError("USER_FROM_CONFIGURATION", "the user's provider says the role", {
        mend: "change what the provider says of the user",
      });
    case "not_admin":
      throw new ServiceError("ROLE_TOO_LOW", "this call needs a higher role", { role: "ADMIN" });
  }
}
