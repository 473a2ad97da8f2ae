import { ServiceError } from "@sandgate/rpc";
import type { Refusal } from "../domain/refusal.ts";

const full: ReadonlySet<Refusal> = new Set(["capacity", "subject_quota", "address_quota", "too_many_failures"]);
const unavailable: ReadonlySet<Refusal> = new Set([
  "firewall",
  "store_unavailable",
  "keys_unavailable",
  "stopping",
  "transmit_rate",
]);

/** A refusal as an error of AccessService: its word is the metadata's `fault`. */
export function refusalError(fault: Refusal, retryAfterMs?: number): ServiceError {
  const retryAfter = Math.max(1, Math.ceil((retryAfterMs ?? 0) / 1_000));
  const metadata = { fault, ...(retryAfterMs !== undefined && { retry_after: String(retryAfter) }) };
  if (full.has(fault)) return new ServiceError("ENVELOPE_FULL", "there is no room now", metadata);
  if (unavailable.has(fault)) return new ServiceError("ENVELOPE_UNAVAILABLE", "nobody is let in now", metadata);
  return new ServiceError("ENVELOPE_TOKEN_REJECTED", "this token does not let the caller in", metadata);
}
