import { ServiceError } from "@sandgate/rpc";
import type { TrustState } from "./trust-state.ts";

/** Throws unless the trust stream is current: without revocation data nothing is accepted. */
export function requireCurrent(trust: TrustState): void {
  if (!trust.isCurrent()) throw new ServiceError("TRUST_UNAVAILABLE", "there is no current revocation data");
}
