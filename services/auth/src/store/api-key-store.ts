import type { Actor, Change } from "./auth-store.ts";
import type { ListRange } from "./user-directory.ts";

/** A key of a program. */
export interface ApiKeyRecord {
  readonly id: string;
  readonly userId: string;
  readonly organizationId: string;
  readonly name: string;
  /** The number of a role in sandgate.options.v1.Role. */
  readonly role: number;
  readonly createdAtMs: number;
  /** Undefined: it does not expire. */
  readonly expiresAtMs: number | undefined;
  readonly usedAtMs: number | undefined;
}

/** A key that may be used, with its user as they are now. */
export interface UsableApiKey {
  readonly key: ApiKeyRecord;
  readonly userName: string;
  readonly userRole: number;
}

/**
 * Keeps the keys of programs. Every change is durable, and is in the change log and the audit log, or did not happen. `now` is in
 * milliseconds since the epoch.
 */
export interface ApiKeyStore {
  create(
    key: Omit<ApiKeyRecord, "usedAtMs"> & { readonly hash: Uint8Array },
    actor: Actor,
  ): Promise<"created" | "name_taken" | "too_many">;

  /** Living keys by id: of one user, or of an organization. */
  list(
    of: { readonly organizationId: string; readonly userId: string | undefined },
    range: ListRange,
  ): Promise<readonly ApiKeyRecord[]>;

  /** Revokes a key of a user, or of anybody in the organization. "unchanged": it is revoked already. */
  revoke(
    apiKeyId: string,
    of: { readonly organizationId: string; readonly userId: string | undefined },
    now: number,
    actor: Actor,
  ): Promise<Change<"revoked" | "unchanged" | "absent">>;

  /** The key of a hash, noted as used; undefined unless it and its user may be let in. */
  use(hash: Uint8Array, now: number, actor: (userId: string) => Actor): Promise<UsableApiKey | undefined>;

  /** Forgets keys that were revoked a while ago, and those that have expired. */
  prune(now: number): Promise<void>;
}
