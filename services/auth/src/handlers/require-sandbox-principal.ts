import { type Principal, principalKey } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";

/** The call's principal, which must be a sandbox that proved itself in this way. The pipeline has seen to it; this tells the compiler. */
export function requireSandboxPrincipal(
  call: Call,
  credential: "bootstrap" | "session",
): Extract<Principal, { kind: "sandbox" }> {
  const principal = call.get(principalKey);
  if (principal.kind !== "sandbox" || principal.credential !== credential)
    throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs another principal");
  return principal;
}
