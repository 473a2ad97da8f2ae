export { type Authenticator, bearerToken } from "./authenticators/authenticator.ts";
export { BootstrapTokenAuthenticator } from "./authenticators/bootstrap-token.ts";
export { LocalOperatorAuthenticator } from "./authenticators/local-operator.ts";
export { OidcUserAuthenticator } from "./authenticators/oidc-user.ts";
export { OperatorCertificateAuthenticator } from "./authenticators/operator-certificate.ts";
export { SandboxTokenAuthenticator } from "./authenticators/sandbox-token.ts";
export { UserSessionAuthenticator } from "./authenticators/user-session.ts";
export { callerHeader, forwardPrincipal, forwardUser } from "./forwarded-principal.ts";
export { CallMetrics } from "./listeners/call-metrics.ts";
export { createDenialRecorder } from "./listeners/denial-recorder.ts";
export { type DenialRecorder, recordRefusal } from "./listeners/record-refusal.ts";
export {
  createServiceListeners,
  type SandboxSockets,
  type ServiceListeners,
  type ServiceListenersOptions,
  type TlsFiles,
} from "./listeners/service-listeners.ts";
export { startWebFront, type WebFront, type WebSettings } from "./listeners/web-front.ts";
export { type ForeignJwt, findSignatureFault, parseForeignJwt } from "./oidc/foreign-jwt.ts";
export { type ForeignKey, type ForeignKeySet, foreignAlgorithms, readForeignKeySet } from "./oidc/foreign-key-set.ts";
export type { OidcClaims } from "./oidc/oidc-claims.ts";
export { OidcProviders } from "./oidc/oidc-providers.ts";
export { openOidc } from "./oidc/open-oidc.ts";
export { RemoteKeys } from "./oidc/remote-keys.ts";
export { type Peer, peerKey } from "./peer.ts";
export { type Principal, principalKey, type SandboxProof } from "./principal.ts";
export { grantSandboxScope, type SandboxScope, sandboxScopeOf } from "./sandbox-scope.ts";
export type { CertificateAuthorities } from "./steps/certificate-authorities.ts";
export { createIdentityStep, type Denial, type IdentityOptions } from "./steps/identity-steps.ts";
export { sandboxFieldOf } from "./steps/scope-step.ts";
export * from "./tokens/index.ts";
export { followTrust } from "./trust/follow-trust.ts";
export { type OpenTrust, openTrust } from "./trust/open-trust.ts";
export { RemoteSubjectRegister } from "./trust/remote-subject-register.ts";
export { requireCurrent } from "./trust/require-current.ts";
export type { SubjectRegister } from "./trust/subject-register.ts";
export { isTrusted, TrustState, type TrustSubject } from "./trust/trust-state.ts";
