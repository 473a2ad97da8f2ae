import { ServiceError } from "@sandgate/rpc";
import type { TokenFault } from "../tokens/index.ts";

/** The error for a token of ours that failed (G-03): that it expired is worth saying, what else was wrong with it is not. */
export function rejectionOf(fault: TokenFault): ServiceError {
  return fault === "expired"
    ? new ServiceError("CREDENTIAL_EXPIRED", "the token has expired")
    : new ServiceError("CREDENTIAL_REJECTED", "the token is not valid here");
}
