import type { AuditLog } from "@sandgate/audit";
import { isUniqueViolation, type Pool, withTransaction } from "@sandgate/postgres";
import type { ApiKeyRecord, ApiKeyStore, UsableApiKey } from "./api-key-store.ts";
import type { Actor } from "./auth-store.ts";
import { sessionRevocation } from "./end-user-sessions.ts";
import { appendTrustChanges } from "./trust-changes.ts";
import type { ListRange } from "./user-directory.ts";

const MAX_KEYS = 50;
const REVOKED_LIFE_MS = 30 * 86_400_000;
const USE_NOTED_MS = 60_000;

interface ApiKeyRow {
  readonly id: string;
  readonly user_id: string;
  readonly organization_id: string;
  readonly name: string;
  readonly role: number;
  readonly create_time: Date;
  readonly expire_time: Date | null;
  readonly last_used_time: Date | null;
}

const keyColumns = "id, user_id, organization_id, name, role, create_time, expire_time, last_used_time";

/** Keeps the keys of programs in PostgreSQL. */
export class PostgresApiKeyStore implements ApiKeyStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async create(key: Parameters<ApiKeyStore["create"]>[0], actor: Actor): ReturnType<ApiKeyStore["create"]> {
    try {
      return await withTransaction(this.#pool, async (tx) => {
        // the user's row puts the keys that are made at the same moment in order
        await tx.query("select from users where id = $1 for no key update", [key.userId]);
        const { rows } = await tx.query<{ count: bigint }>(
          "select count(*) as count from api_keys where user_id = $1 and revoke_time is null",
          [key.userId],
        );
        if ((rows[0]?.count ?? 0n) >= MAX_KEYS) return "too_many";
        await tx.query(
          `insert into api_keys (id, user_id, organization_id, name, role, hash, create_time, expire_time)
           values ($1, $2, $3, $4, $5, $6, $7, $8)`,
          [
            key.id,
            key.userId,
            key.organizationId,
            key.name,
            key.role,
            key.hash,
            new Date(key.createdAtMs),
            key.expiresAtMs === undefined ? null : new Date(key.expiresAtMs),
          ],
        );
        await this.#audit.append(tx, {
          action: "api_key.created",
          ...actor,
          organizationId: key.organizationId,
          details: { api_key_id: key.id, user_id: key.userId, role: String(key.role) },
        });
        return "created";
      });
    } catch (error) {
      if (isUniqueViolation(error, "api_keys_living_name")) return "name_taken";
      throw error;
    }
  }

  async list(
    of: { readonly organizationId: string; readonly userId: string | undefined },
    { after, limit }: ListRange,
  ): Promise<readonly ApiKeyRecord[]> {
    const { rows } = await this.#pool.query<ApiKeyRow>(
      `select ${keyColumns} from api_keys
        where organization_id = $1 and ($2::uuid is null or user_id = $2) and revoke_time is null
          and ($3::uuid is null or id > $3)
        order by id
        limit $4`,
      [of.organizationId, of.userId ?? null, after ?? null, limit],
    );
    return rows.map(toRecord);
  }

  async revoke(
    apiKeyId: string,
    of: { readonly organizationId: string; readonly userId: string | undefined },
    now: number,
    actor: Actor,
  ): ReturnType<ApiKeyStore["revoke"]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<ApiKeyRow & { revoke_time: Date | null }>(
        `select ${keyColumns}, revoke_time from api_keys
          where id = $1 and organization_id = $2 and ($3::uuid is null or user_id = $3)
            for update`,
        [apiKeyId, of.organizationId, of.userId ?? null],
      );
      const [row] = rows;
      if (row === undefined) return { decision: "absent", sequence: undefined };
      if (row.revoke_time !== null) return { decision: "unchanged", sequence: undefined };
      await tx.query("update api_keys set revoke_time = $2 where id = $1", [apiKeyId, new Date(now)]);
      const sequence = await appendTrustChanges(tx, [sessionRevocation(apiKeyId, now)]);
      await this.#audit.append(tx, {
        action: "api_key.revoked",
        ...actor,
        organizationId: row.organization_id,
        details: { api_key_id: apiKeyId, user_id: row.user_id },
      });
      return { decision: "revoked", sequence };
    });
  }

  async use(hash: Uint8Array, now: number, actor: (userId: string) => Actor): Promise<UsableApiKey | undefined> {
    return withTransaction(this.#pool, async (tx) => {
      // whoever revokes the key waits until this token was recorded, and then revokes what it was exchanged for
      const { rows } = await tx.query<ApiKeyRow & { user_name: string; user_role: number }>(
        `select k.id, k.user_id, k.organization_id, k.name, k.role, k.create_time, k.expire_time, k.last_used_time,
                u.name as user_name, u.role as user_role
           from api_keys k
           join users u on u.id = k.user_id
          where k.hash = $1 and k.revoke_time is null and (k.expire_time is null or k.expire_time > $2) and u.active
            for no key update of k`,
        [hash, new Date(now)],
      );
      const [row] = rows;
      if (row === undefined) return undefined;
      if (row.last_used_time === null || now - row.last_used_time.getTime() >= USE_NOTED_MS)
        await tx.query("update api_keys set last_used_time = $2 where id = $1", [row.id, new Date(now)]);
      await this.#audit.append(tx, {
        action: "api_key.exchanged",
        ...actor(row.user_id),
        organizationId: row.organization_id,
        details: { api_key_id: row.id, user_id: row.user_id },
      });
      return { key: toRecord(row), userName: row.user_name, userRole: row.user_role };
    });
  }

  async prune(now: number): Promise<void> {
    await this.#pool.query("delete from api_keys where revoke_time < $1 or expire_time < $1", [
      new Date(now - REVOKED_LIFE_MS),
    ]);
  }
}

function toRecord(row: ApiKeyRow): ApiKeyRecord {
  return {
    id: row.id,
    userId: row.user_id,
    organizationId: row.organization_id,
    name: row.name,
    role: row.role,
    createdAtMs: row.create_time.getTime(),
    expiresAtMs: row.expire_time?.getTime(),
    usedAtMs: row.last_used_time?.getTime(),
  };
}
