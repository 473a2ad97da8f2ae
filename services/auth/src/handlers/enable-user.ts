import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import { changeUser, type UserChangeDeps } from "./change-user.ts";

/** AuthService.EnableUser: a disabled user may log in again. */
export function enableUser(deps: UserChangeDeps): Handler<typeof AuthService.method.enableUser> {
  return async ({ user }, call) => ({ user: await changeUser(deps, call, user, { kind: "enable" }) });
}
