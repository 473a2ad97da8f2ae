import { RevocationKind } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { decideOidcRegistration, type OidcRegistration } from "../domain/oidc-registration.ts";
import { toUserSubject, type UserRow, userColumns } from "./auth-rows.ts";
import type { Actor } from "./auth-store.ts";
import type { OidcUserStore } from "./oidc-user-store.ts";
import { appendTrustChanges, subjectChange } from "./trust-changes.ts";

/** No token of a user lives longer (24 hours), clocks that differ allowed for. */
const CREDENTIAL_LIFE_MS = 25 * 3_600_000;

/** Keeps the users of OpenID providers in PostgreSQL. */
export class PostgresOidcUserStore implements OidcUserStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async registerOidcUser(
    registration: OidcRegistration,
    now: number,
    actor: Actor,
  ): ReturnType<OidcUserStore["registerOidcUser"]> {
    return withTransaction(this.#pool, async (tx) => {
      const inserted = await insertUser(tx, registration);
      if (inserted !== undefined) {
        await tx.query("insert into oidc_users (user_id, issuer, subject, claims_time) values ($1, $2, $3, $4)", [
          registration.userId,
          registration.issuer,
          registration.subject,
          new Date(registration.issuedAtMs),
        ]);
        const sequence = await appendTrustChanges(tx, [subjectChange("user", registration.userId, now)]);
        await this.#append(tx, actor, "user.registered", registration);
        return { decision: "inserted", user: toUserSubject(inserted), sequence };
      }
      const kept = await lockUser(tx, registration.userId);
      const claimsTime = await findClaimsTime(tx, registration.userId);
      const decision = decideOidcRegistration(
        { organizationId: kept.organization_id, role: kept.role, claimedAtMs: claimsTime?.getTime() },
        registration,
      );
      if (decision !== "change") return { decision, user: toUserSubject(kept), sequence: undefined };
      const changed = await updateUser(tx, registration);
      const sequence = await appendTrustChanges(tx, [
        {
          kind: "revocation",
          revocationKind: RevocationKind.USER,
          subject: registration.userId,
          expiresAtMs: now + CREDENTIAL_LIFE_MS,
          issuedBeforeMs: registration.issuedAtMs,
        },
        subjectChange("user", registration.userId, now),
      ]);
      await this.#append(tx, actor, "user.changed", registration);
      return { decision: "changed", user: toUserSubject(changed), sequence };
    });
  }

  async #append(tx: SqlClient, actor: Actor, action: string, registration: OidcRegistration): Promise<void> {
    const { userId, organizationId, issuer, subject, role } = registration;
    const details = { user_id: userId, issuer, subject, role: String(role) };
    await this.#audit.append(tx, { action, ...actor, organizationId, details });
  }
}

async function insertUser(tx: SqlClient, registration: OidcRegistration): Promise<UserRow | undefined> {
  await insertOrganization(tx, registration);
  const { rows } = await tx.query<UserRow>(
    `insert into users (id, organization_id, name, role, active, source) values ($1, $2, $3, $4, true, 'oidc')
     on conflict (id) do nothing
     returning ${userColumns}`,
    [registration.userId, registration.organizationId, registration.name, registration.role],
  );
  return rows[0];
}

async function insertOrganization(tx: SqlClient, registration: OidcRegistration): Promise<void> {
  await tx.query("insert into organizations (id, name) values ($1, $2) on conflict (id) do nothing", [
    registration.organizationId,
    registration.organizationName ?? registration.organizationId,
  ]);
}

/** The user, and with it the right to change it until the transaction ends. */
async function lockUser(tx: SqlClient, userId: string): Promise<UserRow> {
  const { rows } = await tx.query<UserRow>(`select ${userColumns} from users where id = $1 for update`, [userId]);
  if (rows[0] === undefined) throw new Error("a user who is in the way of being entered is gone");
  return rows[0];
}

/** A statement of its own, behind the lock: the one that waited for it sees what was there before. */
async function findClaimsTime(tx: SqlClient, userId: string): Promise<Date | undefined> {
  const { rows } = await tx.query<{ claims_time: Date }>("select claims_time from oidc_users where user_id = $1", [
    userId,
  ]);
  return rows[0]?.claims_time;
}

async function updateUser(tx: SqlClient, registration: OidcRegistration): Promise<UserRow> {
  const { rows } = await tx.query<UserRow>(
    `with claimed as (update oidc_users set claims_time = $5 where user_id = $1)
     update users set organization_id = $2, name = $3, role = $4 where id = $1 returning ${userColumns}`,
    [
      registration.userId,
      registration.organizationId,
      registration.name,
      registration.role,
      new Date(registration.issuedAtMs),
    ],
  );
  if (rows[0] === undefined) throw new Error("a locked user is gone");
  return rows[0];
}
