export { AuthorityFiles, type AuthorityState } from "./authority-files.ts";
export {
  type CertificateAuthority,
  type CertificateAuthorityFiles,
  CertificateRequestError,
  createCertificateAuthority,
  type IssuedLeaf,
  type IssuedSandboxLeaf,
  loadCertificateAuthority,
  MAX_SANDBOX_CERTIFICATE_LIFE_MS,
} from "./certificate-authority.ts";
export {
  type AuthorityKind,
  type CertificateFiles,
  createDevelopmentPki,
  type DevelopmentPki,
  type DevelopmentPkiOptions,
  type DevelopmentService,
  developmentAuthority,
} from "./development-pki.ts";
export { type FollowedAuthority, followCertificateAuthority } from "./follow-authority.ts";
