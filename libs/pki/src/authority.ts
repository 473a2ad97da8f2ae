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
  type CertificateFiles,
  createDevelopmentPki,
  type DevelopmentPki,
  type DevelopmentService,
} from "./development-pki.ts";
