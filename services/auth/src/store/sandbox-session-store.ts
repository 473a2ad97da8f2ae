import type { OpeningDecision, SandboxSessionRecord } from "../domain/sandbox-session.ts";
import type { Actor, Change } from "./auth-store.ts";

/** Which live sessions are listed. */
export interface SandboxSessionQuery {
  readonly organizationId: string;
  /** Undefined: of all. */
  readonly sandboxId: string | undefined;
  /** Undefined: of all. */
  readonly userId: string | undefined;
  readonly pageSize: number;
  /** The last session of the page before; undefined for the first page. */
  readonly before: { readonly issuedAtMs: number; readonly tokenId: string } | undefined;
}

/** Which sessions are revoked, within an organization. */
export type RevocationTarget =
  | { readonly kind: "token"; readonly tokenId: string }
  | { readonly kind: "sandbox"; readonly sandboxId: string }
  | { readonly kind: "user"; readonly userId: string }
  | { readonly kind: "all" };

/**
 * Keeps the sessions of container tokens (S0-40 to S0-43). A session is live from its token's issue to its expiry or revocation, or that
 * of the key that signed it; what is not live is not found. Every change is durable, and is in the audit log and, where others keep it, in the change log of trust,
 * or did not happen. `now` is in milliseconds since the epoch.
 */
export interface SandboxSessionStore {
  /** Keeps the session of a token that was made, if its sandbox may have one: only then may the token be given out. */
  open(
    session: Omit<SandboxSessionRecord, "userId"> & {
      /** Undefined: the sandbox's owner. */
      readonly userId: string | undefined;
      /** The kid of the key that signed the token. */
      readonly keyId: string;
      /** The hosts that the token names, for the audit log. */
      readonly allowedHosts: readonly string[] | undefined;
    },
    now: number,
    actor: Actor,
  ): Promise<OpeningDecision>;

  /** A live session of the organization. */
  find(
    organizationId: string,
    key: { readonly kind: "token_id" | "token_sha256"; readonly value: string },
    now: number,
  ): Promise<SandboxSessionRecord | undefined>;

  /** Live sessions, newest first. */
  list(
    query: SandboxSessionQuery,
    now: number,
  ): Promise<{ readonly items: readonly SandboxSessionRecord[]; readonly more: boolean }>;

  /** Revokes what is live of the target. The decision is how many those were; undefined for a token that is not known. */
  revoke(
    organizationId: string,
    target: RevocationTarget,
    reason: string,
    now: number,
    actor: Actor,
  ): Promise<Change<number | undefined>>;

  /** Forgets the sessions of tokens that nobody accepts any more. */
  prune(now: number): Promise<void>;
}
