import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import { changeUser, type UserChangeDeps } from "./change-user.ts";

/** AuthService.DisableUser: a user of the caller's organization is refused everywhere from now on. */
export function disableUser(deps: UserChangeDeps): Handler<typeof AuthService.method.disableUser> {
  return async ({ user }, call) => ({ user: await changeUser(deps, call, user, { kind: "disable" }) });
}
