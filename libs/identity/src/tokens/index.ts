export { createKeySet, formatJwks, type KeySet, readKeySet, type VerificationKey } from "./key-set.ts";
export { mintToken } from "./mint-token.ts";
export type {
  BootstrapClaims,
  ClaimsByKind,
  Confirmation,
  EgressClaims,
  ExchangePermitClaims,
  SessionClaims,
  TokenClaims,
  UserClaims,
} from "./token-claims.ts";
export { type TokenAlgorithm, type TokenKind, type TokenRule, tokenIssuer, tokenRules } from "./token-kind.ts";
export { createTokenSigner, type TokenSigner } from "./token-signer.ts";
export { TokenVerifier } from "./token-verifier.ts";
export { MAX_TOKEN_LENGTH, type TokenFault, type TokenVerification, verifyToken } from "./verify-token.ts";
export {
  createWorkloadSigner,
  MAX_WORKLOAD_TOKEN_LIFE_MS,
  mintWorkloadToken,
  type WorkloadAlgorithm,
  type WorkloadClaims,
  type WorkloadSigner,
} from "./workload-token.ts";
