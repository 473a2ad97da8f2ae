import { type Principal, principalKey } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";

/** A user on whose behalf a call is made. */
export type User = Extract<Principal, { readonly kind: "user" }>;

/** The call's user. Throws PRINCIPAL_NOT_ALLOWED for anybody else. */
export function requireUser(call: Call): User {
  const principal = call.get(principalKey);
  if (principal.kind !== "user") throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "only users may call this method");
  return principal;
}
