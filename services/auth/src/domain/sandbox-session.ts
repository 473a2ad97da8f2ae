import { mayHoldCredentials, type SandboxRecord } from "./sandbox-record.ts";

/** The session of a container token: from its issue to its expiry or revocation. */
export interface SandboxSessionRecord {
  /** The token's jti. */
  readonly tokenId: string;
  /** SHA-256 of the token, hexadecimal. */
  readonly tokenSha256: string;
  readonly sandboxId: string;
  readonly organizationId: string;
  /** Who had it minted; for a supervisor's own, the sandbox's owner. */
  readonly userId: string;
  /** Whether the sandbox's supervisor minted it for itself. */
  readonly bySupervisor: boolean;
  readonly incarnation: bigint;
  readonly audience: string;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly issuedAtMs: number;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** A sandbox has at most so many live tokens of its supervisor's, and as many of users'. */
export const MAX_LIVE_SESSIONS = 1_000;

/** What becomes of a token that was made: it is given out, or why not. */
export type OpeningDecision = "open" | "absent" | "revoked" | "other_incarnation" | "too_many";

/** Decides whether a container token for this incarnation may be given out (D-10, D-30). */
export function decideOpening(
  record: SandboxRecord | undefined,
  opening: { readonly incarnation: bigint; readonly liveCount: number },
): OpeningDecision {
  if (record === undefined || !record.alive) return "absent";
  if (record.incarnation !== opening.incarnation) return "other_incarnation";
  if (!mayHoldCredentials(record)) return "revoked";
  return opening.liveCount < MAX_LIVE_SESSIONS ? "open" : "too_many";
}
