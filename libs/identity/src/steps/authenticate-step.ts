import { type Call, readAccess, ServiceError, type Step } from "@sandgate/rpc";
import { type Authenticator, bearerToken } from "../authenticators/authenticator.ts";
import { userPrincipal } from "../authenticators/user-principal.ts";
import { callerHeader, parseForwarded } from "../forwarded-principal.ts";
import { operatorCertificateKey, peerKey } from "../peer.ts";
import { type Principal, principalKey } from "../principal.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState, TrustSubject } from "../trust/trust-state.ts";
import { OpenStreams } from "./open-streams.ts";
import { requireOwnSandbox } from "./require-own-sandbox.ts";

/**
 * Finds out on whose behalf the call is made. It stands after the peer, whose word it takes for a forwarded principal and
 * whose key a sandbox's token must be bound to, and before authorization, which judges what it finds.
 */
export function authenticateStep(deps: {
  readonly authenticators: readonly Authenticator[];
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly trustDomain: string;
  /** Told of every outcome: the authenticator's name and "accepted", or the reason of the refusal. */
  readonly onOutcome?: (authenticator: string, outcome: string) => void;
}): Step {
  const openStreams = new OpenStreams(deps);
  return async (call) => {
    const principal = await identify(call);
    if (principal === undefined) return; // a service that calls for itself
    requireOwnSandbox(call, principal);
    call.set(principalKey, principal);
    // a unary call is over too soon to need it
    if (call.method.methodKind === "unary" || principal.kind === "anonymous") return;
    cutWhenRevoked(call, principal, deps.trust);
    openStreams.add(call);
  };

  async function identify(call: Call): Promise<Principal | undefined> {
    const peer = call.get(peerKey);
    if (peer.kind === "service") return forwarded(call, peer.service);
    for (const authenticator of deps.authenticators) {
      try {
        const principal = await authenticator.authenticate(call);
        if (principal === undefined) continue;
        deps.onOutcome?.(authenticator.name, "accepted");
        return principal;
      } catch (thrown) {
        if (thrown instanceof ServiceError) deps.onOutcome?.(authenticator.name, thrown.reason);
        throw thrown;
      }
    }
    if (call.header("authorization") !== undefined) {
      deps.onOutcome?.("none", "CREDENTIAL_REJECTED");
      throw new ServiceError(
        "CREDENTIAL_REJECTED",
        bearerToken(call) === undefined
          ? "the authorization header is not a bearer token"
          : "the token is not of this suite",
      );
    }
    return { kind: "anonymous", authenticator: "none" };
  }

  /** The principal that a service calls for: only where its entry for the method says that it may. */
  async function forwarded(call: Call, service: string): Promise<Principal | undefined> {
    const access = readAccess(call.method);
    const mayForward = access.peers.some((rule) => rule.service === service && rule.mayForward);
    if (!mayForward) return undefined;
    const header = call.header(callerHeader);
    if (header === undefined)
      throw new ServiceError("CREDENTIAL_MISSING", "the service does not say for whom it calls");
    requireCurrent(deps.trust);
    return userPrincipal(await deps.register.findUser(parseForwarded(header)), {
      trustDomain: deps.trustDomain,
      authenticator: "forwarded",
    });
  }
}

/** Ends an open stream when what it was opened with is revoked (G-15). */
function cutWhenRevoked(call: Call, principal: Exclude<Principal, { kind: "anonymous" }>, trust: TrustState): void {
  const certificate = call.find(operatorCertificateKey);
  const subjects: TrustSubject[] = [
    ...(principal.kind === "user"
      ? [
          `user:${principal.userId}` as const,
          ...(principal.sessionId === undefined ? [] : [`session:${principal.sessionId}` as const]),
        ]
      : [
          `sandbox:${principal.sandboxId}` as const,
          ...("tokenId" in principal ? [`token:${principal.tokenId}` as const] : []),
        ]),
    ...("keyId" in principal && principal.keyId !== undefined ? [`key:${principal.keyId}` as const] : []),
    ...(certificate === undefined ? [] : [`certificate:${certificate.sha256}` as const]),
  ];
  call.onDone(
    trust.watch(subjects, () => call.end(new ServiceError("CREDENTIAL_REVOKED", "the credential was revoked"))),
  );
}
