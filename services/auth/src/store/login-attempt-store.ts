import type { AttemptDecision, LoginSubjects } from "../domain/login-throttle.ts";

/** An attempt that may be made. It counts as failed until it is told otherwise. */
export interface LoginAttempt {
  readonly subjects: LoginSubjects<string>;
  readonly counted: "account" | "pair";
}

/** Counts failed logins, at all replicas together. `now` is in milliseconds since the epoch. */
export interface LoginAttemptStore {
  /** Decides on an attempt, and counts it in advance: of many at the same moment no more are let through than one after another. */
  begin(subjects: LoginSubjects<string>, now: number, purpose?: "account" | "sign-up"): Promise<AttemptDecision>;
  /** The password was wrong: counts for the address, too. */
  failed(attempt: LoginAttempt, now: number): Promise<void>;
  /** The password was right: nothing is held against the account, and from now on the address is known to it. */
  succeeded(attempt: LoginAttempt, now: number): Promise<void>;
  /** The password was not looked at: nothing is counted. */
  abandoned(attempt: LoginAttempt): Promise<void>;
  /** Forgets what no attempt depends on any more. */
  prune(now: number): Promise<void>;
}
