import type { RotationDecision } from "../domain/session-rotation.ts";
import type { Actor, Change } from "./auth-store.ts";

/** A login session. */
export interface UserSessionRecord {
  readonly sessionId: string;
  readonly userId: string;
  readonly organizationId: string;
  /** The number of the role that the user has now. */
  readonly role: number;
  readonly name: string;
  readonly login: string;
  readonly expiresAtMs: number;
}

/**
 * Keeps the login sessions of users and the hashes of their refresh tokens. Every change is durable, and is in the change log and
 * the audit log, or did not happen. `now` is in milliseconds since the epoch.
 */
export interface UserSessionStore {
  /** Begins a session of an active user; of more than 20 the oldest ends. Undefined when the user is not active. */
  start(
    session: {
      readonly sessionId: string;
      readonly userId: string;
      readonly refreshHash: Uint8Array;
      readonly expiresAtMs: number;
    },
    now: number,
    actor: Actor,
  ): Promise<Change<UserSessionRecord | undefined>>;

  /** Puts the next refresh token in the place of the one presented. A token that is held by two ends the session. */
  rotate(
    rotation: { readonly presentedHash: Uint8Array; readonly nextHash: Uint8Array; readonly requestHash: string },
    now: number,
    peer: string,
  ): Promise<Change<RotationDecision | "absent"> & { readonly session: UserSessionRecord | undefined }>;

  /** Ends the session of a refresh token, or all of its user. "unchanged": there was none left to end. */
  end(
    refreshHash: Uint8Array,
    options: { readonly everywhere: boolean },
    now: number,
    peer: string,
  ): Promise<Change<"ended" | "unchanged" | "absent">>;

  /** Forgets sessions that have expired. */
  prune(now: number): Promise<void>;
}
