import type { Invitation, UserAccount } from "../domain/user-account.ts";
import type { Actor, Change } from "./auth-store.ts";

/**
 * Keeps accounts and invitations. Every change is durable, and is in the change log and the audit log, or did not happen. `now` is
 * in milliseconds since the epoch.
 */
export interface UserStore {
  /** The account of a login name, active or not. */
  findAccount(login: string): Promise<UserAccount | undefined>;

  /** Keeps another hash of the same password, unless the password was changed meanwhile. */
  replaceHash(userId: string, hash: { readonly from: string; readonly to: string }): Promise<void>;

  /** Puts a new password in the place of `from`, and ends all sessions. "stale": it was changed meanwhile. */
  changePassword(
    userId: string,
    hash: { readonly from: string; readonly to: string },
    now: number,
    actor: Actor,
  ): Promise<Change<"changed" | "stale">>;

  /** Opens an invitation; one of the same login name in the organization is replaced. */
  invite(
    invitation: Omit<Invitation, "userId"> & { readonly tokenHash: Uint8Array },
    actor: Actor,
  ): Promise<Invitation>;

  /** The invitation of a token, unless it has expired. */
  findInvitation(tokenHash: Uint8Array, now: number): Promise<Invitation | undefined>;

  /**
   * Uses an invitation up: makes its account, or gives the account that there is the password and ends its sessions. "absent" also
   * where the account is disabled. `name` empty: the login name, or the name that the account has.
   */
  accept(
    acceptance: {
      readonly tokenHash: Uint8Array;
      readonly newUserId: string;
      readonly name: string;
      readonly passwordHash: string;
    },
    now: number,
    actor: (userId: string) => Actor,
  ): Promise<Change<"accepted" | "absent" | "login_taken"> & { readonly account: UserAccount | undefined }>;

  /** Forgets invitations that have expired. */
  prune(now: number): Promise<void>;
}
