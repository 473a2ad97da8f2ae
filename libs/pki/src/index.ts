export { readAuthorityBundle, splitAuthorityBundle } from "./authority-bundle.ts";
export { createCsr, createKeyPair, type KeyPair } from "./certificate-request.ts";
export { FileLockError, withFileLock } from "./file-lock.ts";
export { isIssuedBy } from "./is-issued-by.ts";
export { jwkThumbprint, keyThumbprint } from "./jwk-thumbprint.ts";
export { type CertificateFacts, readCertificate } from "./read-certificate.ts";
export { formatSpiffeId, parseSpiffeId, type SpiffeId, type SpiffeKind } from "./spiffe-id.ts";
