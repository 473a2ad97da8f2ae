import type { AuthService } from "@sandgate/api/auth";
import { type DenialRecorder, peerKey, recordRefusal, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type Handler, ServiceError } from "@sandgate/rpc";
import type { CredentialIssuer } from "../credentials/credential-issuer.ts";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireSandboxPrincipal } from "./require-sandbox-principal.ts";

/** AuthService.RefreshSandboxToken: new credentials for the same key. They are made first; only then is the old token superseded. */
export function refreshSandboxToken(deps: {
  readonly store: Pick<AuthStore, "findEnrolledKey" | "refresh">;
  readonly issuer: CredentialIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly recordDenial: DenialRecorder;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.refreshSandboxToken> {
  return async (_request, call) => {
    const scope = sandboxScopeOf(call);
    const principal = requireSandboxPrincipal(call, "session");
    const refuse = () =>
      recordRefusal(
        deps.recordDenial,
        call,
        scope,
        new ServiceError("CREDENTIAL_REVOKED", "the token is revoked or replaced"),
      );
    const enrolled = await deps.store.findEnrolledKey(scope.sandboxId);
    if (enrolled === undefined || enrolled.keyThumbprint !== keyThumbprintOf(call)) throw await refuse();
    const minted = await deps.issuer.certifyKey(principal, enrolled.publicKeyDer);
    const { decision, session, sequence } = await deps.store.refresh(
      scope,
      { tokenId: principal.tokenId, session: minted },
      deps.clock(),
      actorOfCall(call),
    );
    if (decision === "revoked") throw await refuse();
    const credentials = await deps.issuer.credentialsOf(session);
    await deps.feed.reached(sequence);
    return { credentials };
  };
}

/** The key of the certificate that the connection was opened with. */
function keyThumbprintOf(call: Call): string {
  const peer = call.get(peerKey);
  if (peer.kind !== "sandbox") throw new ServiceError("PEER_NOT_ALLOWED", "this call needs the sandbox's certificate");
  return peer.keyThumbprint;
}
