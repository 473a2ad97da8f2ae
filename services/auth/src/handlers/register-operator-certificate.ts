import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { OperatorCertificateStore } from "../store/operator-certificate-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { operatorCertificateMessage } from "./operator-certificate-message.ts";
import { type OperatorAuthority, requireOperatorCertificate } from "./require-operator-certificate.ts";
import { requireRole } from "./require-role.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

const operatorName = /^[a-z][a-z0-9._-]{0,62}$/;
/** What could be taken for a serial number or a hash. */
const hexadecimal = /^[0-9a-f]{32,}$/;

/** AuthService.RegisterOperatorCertificate: a certificate that was issued where the operator authority's key is, and its user. */
export function registerOperatorCertificate(deps: {
  readonly certificates: Pick<OperatorCertificateStore, "enter">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly operatorAuthority: OperatorAuthority;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.registerOperatorCertificate> {
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const { name } = request;
    if (!operatorName.test(name) || hexadecimal.test(name))
      throw new ServiceError("REQUEST_INVALID", "this is no name for an operator", { field: "name" });
    const role = requireRole(request.role);
    const issued = requireOperatorCertificate(request.certificate, deps.operatorAuthority, deps.clock());
    const { decision, sequence, certificate } = await deps.certificates.enter(
      { ...issued, organizationId, name, role },
      deps.clock(),
      actorOfCall(call),
    );
    if (decision === "taken" || certificate === undefined)
      throw new ServiceError("OPERATOR_NAME_TAKEN", "the name or the user is somebody else, or has another role");
    await deps.feed.reached(sequence);
    return { certificate: operatorCertificateMessage(certificate) };
  };
}
