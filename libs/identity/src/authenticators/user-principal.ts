import type { UserSubject } from "@sandgate/api/auth";
import { formatSpiffeId } from "@sandgate/pki";
import { ServiceError } from "@sandgate/rpc";
import type { Principal } from "../principal.ts";

/** The principal of a user of the register, with the role that the register gives now. Refuses absent and inactive users. */
export function userPrincipal(
  subject: UserSubject | undefined,
  options: { readonly trustDomain: string; readonly authenticator: string },
): Extract<Principal, { kind: "user" }> {
  if (subject?.active !== true) throw new ServiceError("CREDENTIAL_REVOKED", "the user is not active any more");
  return {
    kind: "user",
    userId: subject.userId,
    organizationId: subject.organizationId,
    role: subject.role,
    spiffeId: formatSpiffeId({ trustDomain: options.trustDomain, kind: "user", name: subject.userId }),
    authenticator: options.authenticator,
  };
}
