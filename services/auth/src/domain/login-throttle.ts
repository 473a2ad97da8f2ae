/** What is remembered of failed logins of one subject. */
export interface LoginAttempts {
  readonly failures: number;
  /** When the last one was, in milliseconds since the epoch. */
  readonly failedAtMs: number;
  readonly succeededAtMs: number | undefined;
}

/** The three that an attempt is judged by. */
export interface LoginSubjects<T> {
  readonly account: T;
  readonly address: T;
  /** The account from that address. */
  readonly pair: T;
}

/** Whether an attempt may be made now, and which subject a failure counts for. */
export type AttemptDecision =
  | { readonly kind: "allowed"; readonly counted: "account" | "pair" }
  | { readonly kind: "delayed"; readonly waitMs: number };

/** So many failures cost nothing; then the delay doubles with each, from a second to the longest. */
const rules = {
  account: { free: 10, longestMs: 300_000 },
  pair: { free: 10, longestMs: 300_000 },
  address: { free: 100, longestMs: 60_000 },
  "sign-up": { free: 50, longestMs: 60_000 },
} as const;

/** So long after the last failure all are forgotten. */
export const FAILURES_LIFE_MS = 3_600_000;
/** So long after a login an address is known to an account. */
export const KNOWN_ADDRESS_LIFE_MS = 90 * 86_400_000;

/**
 * Decides on an attempt to log in. An address from which the account has logged in before is judged by what failed from there
 * alone: whoever attacks the account from elsewhere, or others from the same address, cannot lock its user out.
 */
export function decideAttempt(
  attempts: LoginSubjects<LoginAttempts | undefined>,
  now: number,
  /** What is attempted: to log in to the account, or to make one (then the account stands for all of an address). */
  purpose: "account" | "sign-up" = "account",
): AttemptDecision {
  const { account, address, pair } = attempts;
  const isKnown = pair?.succeededAtMs !== undefined && now - pair.succeededAtMs < KNOWN_ADDRESS_LIFE_MS;
  const waitMs = isKnown
    ? waitOf(pair, "pair", now)
    : Math.max(waitOf(account, purpose, now), waitOf(address, "address", now));
  return waitMs > 0 ? { kind: "delayed", waitMs } : { kind: "allowed", counted: isKnown ? "pair" : "account" };
}

/** The failures of a subject that still count. */
export function failuresOf(attempts: LoginAttempts | undefined, now: number): number {
  return attempts === undefined || now - attempts.failedAtMs >= FAILURES_LIFE_MS ? 0 : attempts.failures;
}

function waitOf(attempts: LoginAttempts | undefined, subject: keyof typeof rules, now: number): number {
  const { free, longestMs } = rules[subject];
  const failures = failuresOf(attempts, now);
  if (attempts === undefined || failures < free) return 0;
  const delayMs = Math.min(longestMs, 1_000 * 2 ** Math.min(failures - free, 20));
  return Math.max(0, attempts.failedAtMs + delayMs - now);
}
