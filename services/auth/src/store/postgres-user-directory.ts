import type { AuditLog } from "@sandgate/audit";
import { isUniqueViolation, type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import type { Invitation } from "../domain/user-account.ts";
import { type AdministeredUser, decideUserChange, type UserChange } from "../domain/user-administration.ts";
import type { Actor } from "./auth-store.ts";
import { endUserSessions } from "./end-user-sessions.ts";
import { appendTrustChanges, subjectChange } from "./trust-changes.ts";
import { type InvitationRow, insertInvitation, invitationColumns, toInvitation } from "./user-account-rows.ts";
import type { ListRange, NewAccount, UserDirectory, UserListing } from "./user-directory.ts";

interface ListingRow {
  readonly id: string;
  readonly organization_id: string;
  readonly login: string | null;
  readonly name: string;
  readonly role: number;
  readonly active: boolean;
  readonly source: string;
  readonly create_time: Date;
  readonly last_login_time: Date | null;
}

const listingColumns = "id, organization_id, login, name, role, active, source, create_time, last_login_time";
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** The audit log's action for each kind of change. */
const actions = { disable: "user.disabled", enable: "user.enabled", "set-role": "user.role_changed" } as const;

/** Keeps organizations and their users in PostgreSQL. */
export class PostgresUserDirectory implements UserDirectory {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async list(organizationId: string, { after, limit }: ListRange): Promise<readonly UserListing[]> {
    const { rows } = await this.#pool.query<ListingRow>(
      `select ${listingColumns} from users
        where organization_id = $1 and ($2::uuid is null or id > $2)
        order by id
        limit $3`,
      [organizationId, after ?? null, limit],
    );
    return rows.map(toListing);
  }

  async change(
    request: Parameters<UserDirectory["change"]>[0],
    now: number,
    actor: Actor,
  ): ReturnType<UserDirectory["change"]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<ListingRow>(
        `select ${listingColumns} from users
          where id = $1 or ${uuid.test(request.user) ? "id = $2::uuid" : "login = $2"}
          order by id
            for no key update`,
        [request.callerUserId, request.user],
      );
      const caller = rows.find((row) => row.id === request.callerUserId);
      const target = rows.find((row) => row.id === request.user || row.login === request.user);
      const decision = decideUserChange(
        caller && toAdministered(caller),
        target && toAdministered(target),
        request.change,
      );
      if (target === undefined || decision !== "change")
        return {
          decision,
          user: decision === "unchanged" ? target && toListing(target) : undefined,
          sequence: undefined,
        };
      const row = await applyChange(tx, target.id, request.change);
      const revocations =
        request.change.kind === "disable" ? await endUserSessions(tx, { userId: target.id }, now) : [];
      if (request.change.kind === "disable") await withdrawWhatUserMade(tx, target.id, now);
      const sequence = await appendTrustChanges(tx, [...revocations, subjectChange("user", target.id, now)]);
      await this.#append(tx, actor, actions[request.change.kind], row, { role: String(row.role) });
      return { decision, user: toListing(row), sequence };
    });
  }

  async import(
    account: Parameters<UserDirectory["import"]>[0],
    now: number,
    actor: Actor,
  ): ReturnType<UserDirectory["import"]> {
    return unlessLoginTaken({ decision: "login_taken", user: undefined, sequence: undefined }, () =>
      withTransaction(this.#pool, async (tx) => {
        const row = await insertAccount(tx, account);
        const sequence = await appendTrustChanges(tx, [subjectChange("user", row.id, now)]);
        await this.#append(tx, actor, "user.imported", row, { login: account.login, role: String(row.role) });
        return { decision: "imported" as const, user: toListing(row), sequence };
      }),
    );
  }

  async signUp(
    account: Parameters<UserDirectory["signUp"]>[0],
    now: number,
    actor: Actor,
  ): ReturnType<UserDirectory["signUp"]> {
    return unlessLoginTaken({ decision: "login_taken", sequence: undefined }, () =>
      withTransaction(this.#pool, async (tx) => {
        await insertOrganization(tx, account.organizationId, account.organizationName);
        const row = await insertAccount(tx, account);
        const sequence = await appendTrustChanges(tx, [subjectChange("user", row.id, now)]);
        await this.#append(tx, actor, "user.signed_up", row, { login: account.login, role: String(row.role) });
        return { decision: "signed_up" as const, sequence };
      }),
    );
  }

  async createOrganization(
    { name, invitation }: Parameters<UserDirectory["createOrganization"]>[0],
    actor: Actor,
  ): ReturnType<UserDirectory["createOrganization"]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query(
        "select from users where id = $1 and source = 'configuration' and active for key share",
        [invitation.inviterUserId],
      );
      if (rows.length === 0) return "not_configured";
      await insertOrganization(tx, invitation.organizationId, name);
      await insertInvitation(tx, invitation);
      await this.#audit.append(tx, {
        action: "organization.created",
        ...actor,
        organizationId: invitation.organizationId,
        details: { invitation_id: invitation.id, login: invitation.login },
      });
      return "created";
    });
  }

  async listInvitations(
    organizationId: string,
    { after, limit }: ListRange,
    now: number,
  ): Promise<readonly Invitation[]> {
    const { rows } = await this.#pool.query<InvitationRow>(
      `select ${invitationColumns} from invitations
        where organization_id = $1 and login > $2 and expire_time > $3
        order by login
        limit $4`,
      [organizationId, after ?? "", new Date(now), limit],
    );
    return rows.map(toInvitation);
  }

  async withdrawInvitation(
    organizationId: string,
    invitation: string,
    actor: Actor,
  ): ReturnType<UserDirectory["withdrawInvitation"]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<InvitationRow>(
        `delete from invitations
          where organization_id = $1 and ${uuid.test(invitation) ? "id = $2::uuid" : "login = $2"}
          returning ${invitationColumns}`,
        [organizationId, invitation],
      );
      const [row] = rows;
      if (row === undefined) return "absent";
      await this.#audit.append(tx, {
        action: "invitation.withdrawn",
        ...actor,
        organizationId,
        details: { invitation_id: row.id, login: row.login },
      });
      return "withdrawn";
    });
  }

  async #append(
    tx: SqlClient,
    actor: Actor,
    action: string,
    user: ListingRow,
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#audit.append(tx, {
      action,
      ...actor,
      organizationId: user.organization_id,
      details: { ...details, user_id: user.id },
    });
  }
}

/** Keys are revoked for good; the tokens that they gave are refused with their user. */
async function withdrawWhatUserMade(tx: SqlClient, userId: string, now: number): Promise<void> {
  await tx.query("delete from invitations where inviter_user_id = $1 or user_id = $1", [userId]);
  await tx.query("update api_keys set revoke_time = $2 where user_id = $1 and revoke_time is null", [
    userId,
    new Date(now),
  ]);
}

async function applyChange(tx: SqlClient, userId: string, change: UserChange): Promise<ListingRow> {
  const { rows } =
    change.kind === "set-role"
      ? await tx.query<ListingRow>(`update users set role = $2 where id = $1 returning ${listingColumns}`, [
          userId,
          change.role,
        ])
      : await tx.query<ListingRow>(`update users set active = $2 where id = $1 returning ${listingColumns}`, [
          userId,
          change.kind === "enable",
        ]);
  if (rows[0] === undefined) throw new Error("a locked user is gone");
  return rows[0];
}

async function insertOrganization(tx: SqlClient, id: string, name: string): Promise<void> {
  await tx.query("insert into organizations (id, name) values ($1, $2)", [id, name]);
}

async function insertAccount(
  tx: SqlClient,
  account: NewAccount & { readonly organizationId: string },
): Promise<ListingRow> {
  const { rows } = await tx.query<ListingRow>(
    `insert into users (id, organization_id, login, name, role, active, source, password_hash)
     values ($1, $2, $3, $4, $5, true, 'account', $6)
     returning ${listingColumns}`,
    [account.userId, account.organizationId, account.login, account.name, account.role, account.passwordHash],
  );
  if (rows[0] === undefined) throw new Error("the account was not made");
  return rows[0];
}

async function unlessLoginTaken<T, U>(taken: U, run: () => Promise<T>): Promise<T | U> {
  try {
    return await run();
  } catch (error) {
    if (isUniqueViolation(error, "users_login")) return taken;
    throw error;
  }
}

function toAdministered(row: ListingRow): AdministeredUser {
  return {
    userId: row.id,
    organizationId: row.organization_id,
    role: row.role,
    active: row.active,
    configured: row.source === "configuration",
    federated: row.source === "oidc",
  };
}

function toListing(row: ListingRow): UserListing {
  return {
    ...toAdministered(row),
    login: row.login ?? undefined,
    name: row.name,
    createdAtMs: row.create_time.getTime(),
    loggedInAtMs: row.last_login_time?.getTime(),
  };
}
