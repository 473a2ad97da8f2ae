import { mayHoldCredentials, type SandboxRecord } from "./sandbox-record.ts";
import type { SessionRecord } from "./session-record.ts";

/** So long after a refresh the same refresh gets the same answer. */
const RETRY_WINDOW_MS = 30_000;

/** What becomes of a refresh: a new session, the one that it was answered with before, or a refusal. */
export type RenewalDecision = "renew" | "repeat" | "revoked";

/** Decides on the refresh of a session by the holder of a key (G-13, G-16). */
export function decideRenewal(renewal: {
  readonly record: SandboxRecord;
  readonly session: SessionRecord | undefined;
  /** What the session was refreshed to before, if it was. */
  readonly successor: SessionRecord | undefined;
  readonly keyThumbprint: string;
  readonly now: number;
}): RenewalDecision {
  const { record, session, successor, keyThumbprint, now } = renewal;
  if (
    session === undefined ||
    !mayHoldCredentials(record) ||
    record.keyThumbprint !== keyThumbprint ||
    session.sandboxId !== record.sandboxId ||
    session.incarnation !== record.incarnation ||
    session.keyThumbprint !== keyThumbprint
  )
    return "revoked";
  if (successor === undefined) return "renew";
  // either way: a clock that was put back opens no window of hours
  return Math.abs(now - successor.issuedAtMs) < RETRY_WINDOW_MS ? "repeat" : "revoked";
}
