import type { AuthService, RevokeOperatorCertificatesRequest } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { OperatorCertificateStore, RevocationTarget } from "../store/operator-certificate-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { operatorCertificateMessage } from "./operator-certificate-message.ts";
import { type OperatorAuthority, requireOperatorCertificate } from "./require-operator-certificate.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

const MAX_REASON_LENGTH = 200;

/** AuthService.RevokeOperatorCertificates: refused everywhere when this is answered. */
export function revokeOperatorCertificates(deps: {
  readonly certificates: Pick<OperatorCertificateStore, "revoke">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly operatorAuthority: OperatorAuthority;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.revokeOperatorCertificates> {
  const targetOf = ({ target }: RevokeOperatorCertificatesRequest): RevocationTarget => {
    switch (target.case) {
      case "name":
        return { kind: "name", name: target.value };
      case "serial":
        return { kind: "serial", serial: target.value.toLowerCase() };
      case "certificate": {
        const certificate = requireOperatorCertificate(target.value, deps.operatorAuthority, deps.clock());
        return { kind: "certificate", certificate };
      }
      case undefined:
        throw new ServiceError("REQUEST_INVALID", "the request names no certificate", { field: "target" });
    }
  };
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const { reason } = request;
    if (reason.length > MAX_REASON_LENGTH)
      throw new ServiceError("REQUEST_INVALID", "the reason is longer than 200 characters", { field: "reason" });
    const { decision, sequence } = await deps.certificates.revoke(
      targetOf(request),
      { organizationId, reason },
      deps.clock(),
      actorOfCall(call),
    );
    if (decision.length === 0) throw new ServiceError("OPERATOR_CERTIFICATE_NOT_FOUND", "no such certificate");
    await deps.feed.reached(sequence);
    return { certificates: decision.map(operatorCertificateMessage) };
  };
}
