import { type Principal, principalKey, type SandboxProof } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";

type SandboxPrincipal<C> = Extract<Principal, { kind: "sandbox" }> & Extract<SandboxProof, { credential: C }>;

/** The call's principal, which must be a sandbox that proved itself in this way. The pipeline has seen to it; this tells the compiler. */
export function requireSandboxPrincipal(call: Call, credential: "session"): SandboxPrincipal<"session"> {
  const principal = call.get(principalKey);
  if (principal.kind !== "sandbox" || principal.credential !== credential)
    throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs another principal");
  return principal;
}
