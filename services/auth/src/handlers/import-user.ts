import { randomUUID } from "node:crypto";
import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { isAcceptableHash } from "../domain/imported-hash.ts";
import type { UserDirectory } from "../store/user-directory.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireLoginName } from "./require-login-name.ts";
import { requireName } from "./require-name.ts";
import { requireRole } from "./require-role.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";
import { userMessage } from "./user-message.ts";

/** AuthService.ImportUser: an account whose password another system has hashed. */
export function importUser(deps: {
  readonly directory: Pick<UserDirectory, "import">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.importUser> {
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const login = requireLoginName(request.login, "login");
    const name = requireName(request.name, { field: "name", mayBeEmpty: true });
    const { passwordHash } = request;
    if (!isAcceptableHash(passwordHash))
      throw new ServiceError("REQUEST_INVALID", "this is no hash that can be checked here", { field: "password_hash" });
    const account = { userId: randomUUID(), login, name: name === "" ? login : name, passwordHash, organizationId };
    const { user, sequence } = await deps.directory.import(
      { ...account, role: requireRole(request.role) },
      deps.clock(),
      actorOfCall(call),
    );
    if (user === undefined) throw new ServiceError("LOGIN_TAKEN", "the login name is taken");
    await deps.feed.reached(sequence);
    return { user: userMessage(user) };
  };
}
