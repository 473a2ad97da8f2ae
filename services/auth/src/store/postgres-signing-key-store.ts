import { RevocationKind } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import {
  currentKey,
  findRetirable,
  isPublished,
  planRotation,
  planSuccession,
  type SigningKeyRecord,
  waitingKey,
} from "../domain/signing-key.ts";
import type { TrustChange } from "../domain/trust-change.ts";
import type { KeyActor, NewSigningKey, SigningKeyStore } from "./signing-key-store.ts";
import { appendTrustChanges } from "./trust-changes.ts";

/** So long a consumer that was away can go on where it stopped. */
const CHANGE_LIFE_MS = 3_600_000;

interface SigningKeyRow {
  readonly kid: string;
  readonly algorithm: string;
  readonly public_key: Buffer;
  readonly sealed_key: Buffer | null;
  readonly publish_time: Date;
  readonly sign_time: Date | null;
  readonly retire_time: Date | null;
  readonly revoke_time: Date | null;
}

const columns = "kid, algorithm, public_key, sealed_key, publish_time, sign_time, retire_time, revoke_time";

/** Keeps Auth's signing keys in PostgreSQL, sealed. */
export class PostgresSigningKeyStore implements SigningKeyStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;
  readonly #newKey: (algorithm: string) => NewSigningKey;
  readonly #publishMs: number;
  readonly #longestLifeMs: (algorithm: string) => number;

  constructor(deps: {
    readonly pool: Pool;
    readonly audit: Pick<AuditLog, "append">;
    /** Makes a key pair. */
    readonly newKey: (algorithm: string) => NewSigningKey;
    /** A key is published at least so long before it signs. */
    readonly publishMs: number;
    /** No token that is signed with the algorithm is taken for longer, clocks that differ allowed for. */
    readonly longestLifeMs: (algorithm: string) => number;
  }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
    this.#newKey = deps.newKey;
    this.#publishMs = deps.publishMs;
    this.#longestLifeMs = deps.longestLifeMs;
  }

  list(): Promise<readonly SigningKeyRecord[]> {
    return readKeys(this.#pool);
  }

  async ensure(...[algorithms, now, actor]: Parameters<SigningKeyStore["ensure"]>): Promise<void> {
    await withTransaction(this.#pool, async (tx) => {
      const keys = await lockKeys(tx);
      const made: string[] = [];
      for (const { algorithm, first } of algorithms) {
        const own = keys.filter((key) => key.algorithm === algorithm);
        if (currentKey(own, algorithm, now) === undefined)
          made.push(await insertKey(tx, (own.length === 0 ? first : undefined) ?? this.#newKey(algorithm), now, now));
        made.push(...(await this.#fillUp(tx, algorithm, now)));
      }
      if (made.length === 0) return;
      await appendTrustChanges(tx, [keysChange(now)]);
      await this.#append(tx, actor, "signing_key.published", { kids: made.join(" ") });
    });
  }

  rotate(...[rotation, now, actor]: Parameters<SigningKeyStore["rotate"]>): ReturnType<SigningKeyStore["rotate"]> {
    return withTransaction(this.#pool, async (tx) => {
      const keys = await lockKeys(tx);
      const promotions = rotation.algorithms.flatMap((algorithm) => {
        const { minimumAgeMs } = rotation;
        const promotion = planRotation(keys, algorithm, { now, publishMs: this.#publishMs, minimumAgeMs });
        return promotion === undefined ? [] : [{ ...promotion, algorithm }];
      });
      if (promotions.length === 0) return { decision: "unchanged", sequence: undefined };
      const published: string[] = [];
      for (const promotion of promotions) {
        await promote(tx, promotion);
        published.push(...(await this.#fillUp(tx, promotion.algorithm, now)));
      }
      const sequence = await appendTrustChanges(tx, [keysChange(now)]);
      await this.#append(tx, actor, "signing_key.rotated", {
        kids: promotions.map(({ kid }) => kid).join(" "),
        signs_from: promotions.map(({ signsFromMs }) => new Date(signsFromMs).toISOString()).join(" "),
        published: published.join(" "),
      });
      return { decision: "rotated", sequence };
    });
  }

  revoke(...[kid, reason, now, actor]: Parameters<SigningKeyStore["revoke"]>): ReturnType<SigningKeyStore["revoke"]> {
    return withTransaction(this.#pool, async (tx) => {
      const keys = await lockKeys(tx);
      const key = keys.find((candidate) => candidate.kid === kid);
      if (key === undefined) return { decision: "absent", sequence: undefined };
      if (!isPublished(key)) return { decision: "unchanged", sequence: undefined };
      await tx.query("update signing_keys set revoke_time = $2, sealed_key = null where kid = $1", [
        kid,
        new Date(now),
      ]);
      const successor = planSuccession(keys, key, now);
      if (successor !== undefined) await promote(tx, successor);
      const published = await this.#fillUp(tx, key.algorithm, now);
      const sequence = await appendTrustChanges(tx, [
        keysChange(now), // first: a replica that has heard of the revocation signs with another key already
        {
          kind: "revocation",
          revocationKind: RevocationKind.SIGNING_KEY,
          subject: kid,
          expiresAtMs: now + this.#longestLifeMs(key.algorithm),
        },
      ]);
      await this.#append(tx, actor, "signing_key.revoked", {
        kid,
        reason,
        ...(successor === undefined ? {} : { successor: successor.kid }),
        published: published.join(" "),
      });
      return { decision: "revoked", sequence };
    });
  }

  reseal(...[seal, actor]: Parameters<SigningKeyStore["reseal"]>): Promise<number> {
    return withTransaction(this.#pool, async (tx) => {
      let count = 0;
      for (const { kid, sealedKey } of await lockKeys(tx)) {
        if (sealedKey === undefined) continue;
        await tx.query("update signing_keys set sealed_key = $2 where kid = $1", [kid, seal(kid, sealedKey)]);
        count += 1;
      }
      await this.#append(tx, actor, "signing_keys.resealed", { count: String(count) });
      return count;
    });
  }

  retire(...[now, actor]: Parameters<SigningKeyStore["retire"]>): ReturnType<SigningKeyStore["retire"]> {
    return withTransaction(this.#pool, async (tx) => {
      const kids = findRetirable(await lockKeys(tx), now, this.#longestLifeMs).map(({ kid }) => kid);
      if (kids.length === 0) return { decision: "unchanged", sequence: undefined };
      await tx.query("update signing_keys set retire_time = $2, sealed_key = null where kid = any($1)", [
        kids,
        new Date(now),
      ]);
      const sequence = await appendTrustChanges(tx, [keysChange(now)]);
      await this.#append(tx, actor, "signing_key.retired", { kids: kids.join(" ") });
      return { decision: "retired", sequence };
    });
  }

  /** Publishes a key to sign next, unless one waits. Answers the kids of what it published. */
  async #fillUp(tx: SqlClient, algorithm: string, now: number): Promise<readonly string[]> {
    if (waitingKey(await readKeys(tx), algorithm) !== undefined) return [];
    return [await insertKey(tx, this.#newKey(algorithm), now, undefined)];
  }

  async #append(
    tx: SqlClient,
    { organizationId, principal, peer }: KeyActor,
    action: string,
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#audit.append(tx, { action, principal, peer, organizationId, details });
  }
}

/** Whether there is or was any key. */
export async function hasSigningKeys(client: SqlClient): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>("select exists (select from signing_keys) as found");
  return rows[0]?.found === true;
}

async function readKeys(client: SqlClient): Promise<readonly SigningKeyRecord[]> {
  const { rows } = await client.query<SigningKeyRow>(`select ${columns} from signing_keys order by publish_time, kid`);
  return rows.map((row) => ({
    kid: row.kid,
    algorithm: row.algorithm,
    publicKeyDer: row.public_key,
    sealedKey: row.sealed_key ?? undefined,
    publishedAtMs: row.publish_time.getTime(),
    signsFromMs: row.sign_time?.getTime(),
    retiredAtMs: row.retire_time?.getTime(),
    revokedAtMs: row.revoke_time?.getTime(),
  }));
}

/** All keys, and with them the right to change them until the transaction ends. */
async function lockKeys(tx: SqlClient): Promise<readonly SigningKeyRecord[]> {
  await tx.query("lock table signing_keys in share row exclusive mode");
  return readKeys(tx);
}

async function insertKey(
  tx: SqlClient,
  key: NewSigningKey,
  now: number,
  signsFromMs: number | undefined,
): Promise<string> {
  await tx.query(
    "insert into signing_keys (kid, algorithm, public_key, sealed_key, publish_time, sign_time) values ($1, $2, $3, $4, $5, $6)",
    [
      key.kid,
      key.algorithm,
      key.publicKeyDer,
      key.sealedKey,
      new Date(now),
      signsFromMs === undefined ? null : new Date(signsFromMs),
    ],
  );
  return key.kid;
}

async function promote(tx: SqlClient, { kid, signsFromMs }: { kid: string; signsFromMs: number }): Promise<string> {
  await tx.query("update signing_keys set sign_time = $2 where kid = $1", [kid, new Date(signsFromMs)]);
  return kid;
}

function keysChange(now: number): TrustChange {
  return { kind: "signing_keys", subject: "", expiresAtMs: now + CHANGE_LIFE_MS };
}
