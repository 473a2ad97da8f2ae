import type { AuthService } from "@sandgate/api/auth";
import type { SubjectRegister } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";

/** AuthService.ResolveUser: a user by id, active or not. */
export function resolveUser(deps: {
  readonly store: Pick<SubjectRegister, "findUser">;
}): Handler<typeof AuthService.method.resolveUser> {
  return async ({ userId }) => {
    const isUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(userId);
    const subject = isUuid ? await deps.store.findUser(userId) : undefined;
    if (subject === undefined) throw new ServiceError("CREDENTIAL_REJECTED", "no such user");
    return { subject };
  };
}
