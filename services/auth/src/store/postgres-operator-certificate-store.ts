import { RevocationKind } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import { isUniqueViolation, type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import type { Actor } from "./auth-store.ts";
import type {
  NewOperatorCertificate,
  OperatorCertificateRecord,
  OperatorCertificateStore,
  RevocationTarget,
} from "./operator-certificate-store.ts";
import { appendTrustChanges, subjectChange } from "./trust-changes.ts";
import type { ListRange } from "./user-directory.ts";

/** What the clocks of replicas may differ. */
const CLOCK_ALLOWANCE_MS = 60_000;

interface CertificateRow {
  readonly sha256: string;
  readonly serial: string;
  readonly user_id: string;
  readonly create_time: Date;
  readonly expire_time: Date;
  readonly revoke_time: Date | null;
  readonly name: string;
  readonly role: number;
}

interface UserRow {
  readonly organization_id: string;
  readonly name: string;
  readonly role: number;
  readonly active: boolean;
  readonly source: string;
}

const columns = "c.sha256, c.serial, c.user_id, c.create_time, c.expire_time, c.revoke_time, u.name, u.role";

/** Keeps the certificates of operators in PostgreSQL. */
export class PostgresOperatorCertificateStore implements OperatorCertificateStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async enter(
    certificate: Parameters<OperatorCertificateStore["enter"]>[0],
    now: number,
    actor: Actor,
  ): ReturnType<OperatorCertificateStore["enter"]> {
    try {
      return await withTransaction(this.#pool, async (tx) => {
        const { organizationId, userId, name, role, sha256 } = certificate;
        const { rows: users } = await tx.query<UserRow>(
          `insert into users (id, organization_id, name, role, active, source) values ($1, $2, $3, $4, true, 'operator')
           on conflict (id) do update set id = excluded.id
           returning organization_id, name, role, active, source`,
          [userId, organizationId, name, role],
        );
        const [user] = users;
        const isSame =
          user?.source === "operator" &&
          user.active &&
          user.organization_id === organizationId &&
          user.name === name &&
          user.role === role;
        if (!isSame) return { decision: "taken", sequence: undefined, certificate: undefined };
        const isNew = await insertCertificate(tx, certificate, organizationId, now);
        const record = await findCertificate(tx, sha256);
        if (!isNew) return { decision: "unchanged", sequence: undefined, certificate: record };
        const sequence = await appendTrustChanges(tx, [subjectChange("user", userId, now)]);
        await this.#append(tx, actor, "operator_certificate.entered", organizationId, certificate, {
          role: String(role),
        });
        return { decision: "entered", sequence, certificate: record };
      });
    } catch (error) {
      if (isUniqueViolation(error, "users_operator_name"))
        return { decision: "taken", sequence: undefined, certificate: undefined };
      throw error;
    }
  }

  async list(organizationId: string, { after, limit }: ListRange): Promise<readonly OperatorCertificateRecord[]> {
    const { rows } = await this.#pool.query<CertificateRow>(
      `select ${columns} from operator_certificates c join users u on u.id = c.user_id
        where c.organization_id = $1 and c.sha256 > $2
        order by c.sha256
        limit $3`,
      [organizationId, after ?? "", limit],
    );
    return rows.map(toRecord);
  }

  async revoke(
    target: RevocationTarget,
    { organizationId, reason }: { readonly organizationId: string; readonly reason: string },
    now: number,
    actor: Actor,
  ): ReturnType<OperatorCertificateStore["revoke"]> {
    return withTransaction(this.#pool, async (tx) => {
      if (target.kind === "certificate") await insertCertificate(tx, target.certificate, organizationId, now);
      const { rows } = await tx.query<CertificateRow>(
        `select ${columns} from operator_certificates c join users u on u.id = c.user_id
          where c.organization_id = $1 and (${conditions[target.kind]})
          order by c.sha256
            for update of c`,
        [organizationId, subjectOf(target), ...(target.kind === "name" ? [new Date(now)] : [])],
      );
      const found = rows.map(toRecord);
      const valid = found.filter(({ revokedAtMs }) => revokedAtMs === undefined);
      if (valid.length === 0) return { decision: found, sequence: undefined };
      await tx.query("update operator_certificates set revoke_time = $2 where sha256 = any($1)", [
        valid.map(({ sha256 }) => sha256),
        new Date(now),
      ]);
      const sequence = await appendTrustChanges(
        tx,
        valid.map(({ sha256, expiresAtMs }) => ({
          kind: "revocation",
          revocationKind: RevocationKind.CERTIFICATE,
          subject: sha256,
          expiresAtMs: expiresAtMs + CLOCK_ALLOWANCE_MS,
        })),
      );
      for (const one of valid)
        await this.#append(tx, actor, "operator_certificate.revoked", organizationId, one, { reason });
      return { decision: found.map((one) => ({ ...one, revokedAtMs: one.revokedAtMs ?? now })), sequence };
    });
  }

  async #append(
    tx: SqlClient,
    actor: Actor,
    action: string,
    organizationId: string,
    { sha256, serial, userId }: Pick<NewOperatorCertificate, "sha256" | "serial" | "userId">,
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#audit.append(tx, {
      action,
      ...actor,
      organizationId,
      details: { certificate_sha256: sha256, serial, user_id: userId, ...details },
    });
  }
}

/** What a target means. Of a name, what has expired needs no revocation. */
const conditions: Readonly<Record<RevocationTarget["kind"], string>> = {
  name: "u.name = $2 and u.source = 'operator' and c.expire_time > $3",
  serial: "c.serial = $2",
  certificate: "c.sha256 = $2",
};

function subjectOf(target: RevocationTarget): string {
  switch (target.kind) {
    case "name":
      return target.name;
    case "serial":
      return target.serial;
    case "certificate":
      return target.certificate.sha256;
  }
}

/** Whether it was not there. Nothing is entered for a user whom the organization does not have. */
async function insertCertificate(
  tx: SqlClient,
  { sha256, serial, userId, expiresAtMs }: NewOperatorCertificate,
  organizationId: string,
  now: number,
): Promise<boolean> {
  const { rows } = await tx.query(
    `insert into operator_certificates (sha256, serial, user_id, organization_id, create_time, expire_time)
     select $1, $2, id, organization_id, $5, $6 from users where id = $3 and organization_id = $4
     on conflict (sha256) do nothing
     returning sha256`,
    [sha256, serial, userId, organizationId, new Date(now), new Date(expiresAtMs)],
  );
  return rows.length > 0;
}

async function findCertificate(tx: SqlClient, sha256: string): Promise<OperatorCertificateRecord | undefined> {
  const { rows } = await tx.query<CertificateRow>(
    `select ${columns} from operator_certificates c join users u on u.id = c.user_id where c.sha256 = $1`,
    [sha256],
  );
  return rows[0] && toRecord(rows[0]);
}

function toRecord(row: CertificateRow): OperatorCertificateRecord {
  return {
    sha256: row.sha256,
    serial: row.serial,
    userId: row.user_id,
    createdAtMs: row.create_time.getTime(),
    expiresAtMs: row.expire_time.getTime(),
    revokedAtMs: row.revoke_time?.getTime(),
    name: row.name,
    role: row.role,
  };
}
