import type { ClientAddress } from "../domain/client-address.ts";
import type { FailureLimit } from "../domain/failure-limit.ts";
import type { Refusal } from "../domain/refusal.ts";
import type { TransmitLimit } from "../watch-transmit-rate.ts";
import type { TokenOutcome } from "./verify-access-token.ts";

/** What bounds those who bring tokens, whichever way they ask. */
export interface AccessLimits {
  readonly failures: FailureLimit;
  /** What is transmitted now; undefined: no matter. */
  readonly transmit: Pick<TransmitLimit, "isExceeded"> | undefined;
}

/** When the rate may have fallen. */
const TRANSMIT_RETRY_MS = 1_000;

/** Faults of tokens that cost a signature to find, or that a guess has. */
const failures: ReadonlySet<Refusal> = new Set([
  "token_malformed",
  "token_algorithm",
  "token_key",
  "token_signature",
  "token_issuer",
  "token_audience",
  "token_subject",
  "token_expired",
  "token_not_yet_valid",
  "token_claims",
  "token_for_another_address",
]);

/** What `verify` says of a client's token, unless the client brought too many that were none, or too much is transmitted. */
export async function judgeToken(
  address: ClientAddress,
  limits: AccessLimits,
  verify: () => Promise<TokenOutcome>,
): Promise<TokenOutcome> {
  const waitMs = limits.failures.waitMs(address);
  if (waitMs > 0) return { outcome: "refused", refusal: "too_many_failures", retryAfterMs: waitMs };
  const verified = await verify();
  if (verified.outcome === "refused") {
    if (failures.has(verified.refusal)) limits.failures.noteFailure(address);
    return verified;
  }
  if (limits.transmit?.isExceeded() !== true || verified.isMonitor) return verified;
  const { issuer } = verified.claims;
  return { outcome: "refused", refusal: "transmit_rate", issuer, retryAfterMs: TRANSMIT_RETRY_MS };
}
