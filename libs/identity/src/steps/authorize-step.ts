import { PrincipalKind, Role, SandboxCredential } from "@sandgate/api/options";
import { type Call, readAccess, ServiceError, type Step } from "@sandgate/rpc";
import { peerKey } from "../peer.ts";
import { type Principal, principalKey, type SandboxProof } from "../principal.ts";

/**
 * Judges the principal by the method's access option: its kind, a user's role, a sandbox's credential. It stands after
 * authentication and before scope: whether somebody may call a method at all comes before which sandbox it is about.
 */
export function authorizeStep(): Step {
  return (call) => {
    const principal = call.find(principalKey);
    if (principal !== undefined) requireAllowedPrincipal(call, principal);
    // only a service calls without a principal: for itself, as its entry in the peer list says
    else if (call.get(peerKey).kind !== "service")
      throw new ServiceError("CREDENTIAL_MISSING", "nobody was authenticated");
  };
}

function requireAllowedPrincipal(call: Call, principal: Principal): void {
  const access = readAccess(call.method);
  const kind = { user: PrincipalKind.USER, sandbox: PrincipalKind.SANDBOX, anonymous: PrincipalKind.ANONYMOUS }[
    principal.kind
  ];
  if (!access.principals.includes(kind)) {
    if (principal.kind === "anonymous") throw new ServiceError("CREDENTIAL_MISSING", "this call needs a credential");
    throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this kind of principal may not call this method");
  }
  if (principal.kind === "user" && principal.role < access.minimumRole)
    throw new ServiceError("ROLE_TOO_LOW", "this call needs a higher role", { role: Role[access.minimumRole] ?? "" });
  if (principal.kind === "user" && access.operatorCertificate && principal.authenticator !== "operator-certificate")
    throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs a certificate of the operator authority");
  if (principal.kind === "sandbox" && credentialOf(principal.credential) !== access.sandboxCredential)
    throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs another credential of the sandbox");
}

function credentialOf(credential: SandboxProof["credential"]): SandboxCredential {
  return credential === "session" ? SandboxCredential.SESSION : SandboxCredential.BOOTSTRAP;
}
