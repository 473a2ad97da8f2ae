import { principalKey } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";

/** The organization of the user who makes a call: what belongs to another one is not there for them. Throws PRINCIPAL_NOT_ALLOWED. */
export function organizationOf(call: Call): string {
  const principal = call.get(principalKey);
  if (principal.kind === "user") return principal.organizationId;
  throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "only users may do this");
}
