import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import { changeUser, type UserChangeDeps } from "./change-user.ts";
import { requireRole } from "./require-role.ts";

/** AuthService.SetUserRole: another role for a user of the caller's organization. */
export function setUserRole(deps: UserChangeDeps): Handler<typeof AuthService.method.setUserRole> {
  return async ({ user, role }, call) => ({
    user: await changeUser(deps, call, user, { kind: "set-role", role: requireRole(role) }),
  });
}
