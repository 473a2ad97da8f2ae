import type { AuthService } from "@sandgate/api/auth";
import { type DenialRecorder, type Principal, principalKey, recordRefusal, sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { CredentialIssuer } from "../credentials/credential-issuer.ts";
import { hashTokenId } from "../credentials/token-id.ts";
import type { EnrolmentDecision, EnrolmentProof } from "../domain/enrolment.ts";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.IssueSandboxToken: binds a supervisor's key to its incarnation, for a bootstrap credential or a pod that it uses up. */
export function issueSandboxToken(deps: {
  readonly store: Pick<AuthStore, "enrol">;
  readonly issuer: CredentialIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly recordDenial: DenialRecorder;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.issueSandboxToken> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const { principal, proof } = requireEnrolling(call.get(principalKey));
    const { session, publicKeyDer } = await deps.issuer.certifyRequest(principal, request.certificateSigningRequest);
    const { decision, sequence } = await deps.store.enrol(
      scope,
      { proof, publicKeyDer, session },
      deps.clock(),
      actorOfCall(call),
    );
    if (decision !== "enrol") throw await recordRefusal(deps.recordDenial, call, scope, refusalOf(decision));
    const credentials = await deps.issuer.credentialsOf(session);
    // whoever kept the sandbox without its key must have forgotten it when the supervisor comes with the new certificate
    await deps.feed.reached(sequence);
    return { credentials };
  };
}

/** The principal, which must be a sandbox that enrols, and what it does so with. The pipeline has seen to it; this tells the compiler. */
function requireEnrolling(principal: Principal): {
  readonly principal: Extract<Principal, { kind: "sandbox" }>;
  readonly proof: EnrolmentProof;
} {
  if (principal.kind === "sandbox" && principal.credential === "bootstrap")
    return { principal, proof: { kind: "bootstrap", hash: hashTokenId(principal.tokenId) } };
  if (principal.kind === "sandbox" && principal.credential === "service-account")
    return { principal, proof: { kind: "pod", uid: principal.podUid } };
  throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs another principal");
}

function refusalOf(decision: Exclude<EnrolmentDecision, "enrol">): ServiceError {
  switch (decision) {
    case "used":
      return new ServiceError("BOOTSTRAP_USED", "another key has used this bootstrap credential or pod");
    case "expired":
      return new ServiceError("CREDENTIAL_EXPIRED", "the bootstrap credential has expired");
    case "replaced":
      return new ServiceError("CREDENTIAL_REVOKED", "another bootstrap credential has replaced this one");
    case "revoked":
      return new ServiceError("CREDENTIAL_REVOKED", "the incarnation is revoked or replaced");
  }
}
