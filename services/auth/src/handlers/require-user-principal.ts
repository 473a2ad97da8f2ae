import { type Principal, principalKey } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";

/** The user who calls. Throws PRINCIPAL_NOT_ALLOWED for anybody else. */
export function requireUserPrincipal(call: Call): Extract<Principal, { kind: "user" }> {
  const principal = call.get(principalKey);
  if (principal.kind !== "user") throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs a user");
  return principal;
}
