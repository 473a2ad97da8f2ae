/** What is known of the refresh token that is presented, and of its session. */
export interface PresentedRefreshToken {
  /** Whether it is the session's current one. */
  readonly isCurrent: boolean;
  readonly generation: number;
  /** Of the request that it was exchanged with, hexadecimal; undefined while it was not. */
  readonly requestHash: string | undefined;
  readonly session: {
    readonly generation: number;
    readonly expiresAtMs: number;
    readonly isEnded: boolean;
    readonly isUserActive: boolean;
  };
}

/** What becomes of a refresh: the next token, another in the place of one whose answer was lost, or the session's end. */
export type RotationDecision = "rotate" | "repeat" | "reused" | "ended" | "expired";

/**
 * Decides on the exchange of a refresh token. A token that was exchanged comes back either because the answer was lost, and then in
 * the same request and before its successor was used, or because there are two who hold it: then the session ends.
 */
export function decideRotation(token: PresentedRefreshToken, requestHash: string, now: number): RotationDecision {
  const { session } = token;
  if (session.isEnded || !session.isUserActive) return "ended";
  if (now >= session.expiresAtMs) return "expired";
  if (token.isCurrent) return "rotate";
  const isRepeated = token.generation === session.generation - 1 && token.requestHash === requestHash;
  return isRepeated ? "repeat" : "reused";
}
