/** Every reason for which a request is refused, with its HTTP status. Closed: reasons are labels of a metric (EW-12). */
export const refusals = {
  path: 404,
  origin: 403,
  peer_address: 400,
  token_missing: 401,
  token_several: 401,
  token_in_query: 401,
  token_malformed: 401,
  token_algorithm: 401,
  token_key: 401,
  token_signature: 401,
  token_issuer: 401,
  token_audience: 401,
  token_subject: 401,
  token_expired: 401,
  token_not_yet_valid: 401,
  token_claims: 401,
  token_replayed: 401,
  token_for_another_address: 403,
  too_many_failures: 429,
  transmit_rate: 503,
  method: 405,
  handshake: 400,
  capacity: 503,
  subject_quota: 503,
  address_quota: 503,
  keys_unavailable: 503,
  store_unavailable: 503,
  stopping: 503,
  firewall: 500,
} as const;

export type Refusal = keyof typeof refusals;

/**
 * The status of a refusal. M-Lab's envelope answers 400 where its handler, not its token middleware, found the fault (E-22, E-26); so
 * does ours in compatible mode.
 */
export function statusOf(refusal: Refusal, { compatible }: { readonly compatible: boolean }): number {
  return compatible && (refusal === "token_subject" || refusal === "token_claims") ? 400 : refusals[refusal];
}
