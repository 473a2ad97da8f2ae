import type { AuditLog } from "@sandgate/audit";
import { isUniqueViolation, type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import type { Invitation, UserAccount } from "../domain/user-account.ts";
import type { Actor } from "./auth-store.ts";
import { endUserSessions } from "./end-user-sessions.ts";
import { appendTrustChanges, subjectChange } from "./trust-changes.ts";
import {
  accountColumns,
  type InvitationRow,
  insertInvitation,
  invitationColumns,
  toInvitation,
  toUserAccount,
  type UserAccountRow,
} from "./user-account-rows.ts";
import type { UserStore } from "./user-store.ts";

/** Keeps accounts and invitations in PostgreSQL. */
export class PostgresUserStore implements UserStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async findAccount(login: string): Promise<UserAccount | undefined> {
    const { rows } = await this.#pool.query<UserAccountRow>(`select ${accountColumns} from users where login = $1`, [
      login,
    ]);
    return rows[0] && toUserAccount(rows[0]);
  }

  async replaceHash(userId: string, hash: { readonly from: string; readonly to: string }): Promise<void> {
    await this.#pool.query("update users set password_hash = $3 where id = $1 and password_hash = $2", [
      userId,
      hash.from,
      hash.to,
    ]);
  }

  async changePassword(
    userId: string,
    hash: { readonly from: string; readonly to: string },
    now: number,
    actor: Actor,
  ): ReturnType<UserStore["changePassword"]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<UserAccountRow>(
        `update users set password_hash = $3 where id = $1 and password_hash = $2 and active returning ${accountColumns}`,
        [userId, hash.from, hash.to],
      );
      if (rows[0] === undefined) return { decision: "stale", sequence: undefined };
      const sequence = await appendIfAny(tx, await endUserSessions(tx, { userId }, now));
      await this.#append(tx, actor, "password.changed", rows[0], {});
      return { decision: "changed", sequence };
    });
  }

  async invite(invitation: Parameters<UserStore["invite"]>[0], actor: Actor): Promise<Invitation> {
    return withTransaction(this.#pool, async (tx) => {
      const row = await insertInvitation(tx, invitation);
      await this.#audit.append(tx, {
        action: "user.invited",
        ...actor,
        organizationId: row.organization_id,
        details: { invitation_id: row.id, login: row.login, role: String(row.role) },
      });
      return toInvitation(row);
    });
  }

  async findInvitation(tokenHash: Uint8Array, now: number): Promise<Invitation | undefined> {
    const { rows } = await this.#pool.query<InvitationRow>(
      `select ${invitationColumns} from invitations where token_hash = $1 and expire_time > $2`,
      [tokenHash, new Date(now)],
    );
    return rows[0] && toInvitation(rows[0]);
  }

  async accept(
    acceptance: Parameters<UserStore["accept"]>[0],
    now: number,
    actor: (userId: string) => Actor,
  ): ReturnType<UserStore["accept"]> {
    try {
      return await withTransaction(this.#pool, async (tx) => {
        const { rows } = await tx.query<InvitationRow>(
          `delete from invitations where token_hash = $1 and expire_time > $2 returning ${invitationColumns}`,
          [acceptance.tokenHash, new Date(now)],
        );
        const invitation = rows[0] && toInvitation(rows[0]);
        const account = invitation && (await upsertAccount(tx, invitation, acceptance));
        if (invitation === undefined || account === undefined)
          return { decision: "absent", account: undefined, sequence: undefined };
        const sequence = await appendTrustChanges(tx, [
          ...(await endUserSessions(tx, { userId: account.id }, now)),
          subjectChange("user", account.id, now),
        ]);
        await this.#append(
          tx,
          actor(account.id),
          invitation.userId === undefined ? "user.joined" : "password.reset",
          account,
          { invitation_id: invitation.id, login: invitation.login, role: String(account.role) },
        );
        return { decision: "accepted", account: toUserAccount(account), sequence };
      });
    } catch (error) {
      if (isUniqueViolation(error, "users_login"))
        return { decision: "login_taken", account: undefined, sequence: undefined };
      throw error;
    }
  }

  async prune(now: number): Promise<void> {
    await this.#pool.query("delete from invitations where expire_time < $1", [new Date(now)]);
  }

  async #append(
    tx: SqlClient,
    actor: Actor,
    action: string,
    user: UserAccountRow,
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

async function upsertAccount(
  tx: SqlClient,
  invitation: Invitation,
  acceptance: Parameters<UserStore["accept"]>[0],
): Promise<UserAccountRow | undefined> {
  const { name, passwordHash, newUserId } = acceptance;
  if (invitation.userId !== undefined) {
    const { rows } = await tx.query<UserAccountRow>(
      `update users set password_hash = $2, name = coalesce(nullif($3, ''), name)
        where id = $1 and active and login is not null
        returning ${accountColumns}`,
      [invitation.userId, passwordHash, name],
    );
    return rows[0];
  }
  const { rows } = await tx.query<UserAccountRow>(
    `insert into users (id, organization_id, login, name, role, active, source, password_hash)
     values ($1, $2, $3, coalesce(nullif($4, ''), $3), $5, true, 'account', $6)
     returning ${accountColumns}`,
    [newUserId, invitation.organizationId, invitation.login, name, invitation.role, passwordHash],
  );
  return rows[0];
}

async function appendIfAny(
  tx: SqlClient,
  changes: Parameters<typeof appendTrustChanges>[1],
): Promise<bigint | undefined> {
  return changes.length === 0 ? undefined : appendTrustChanges(tx, changes);
}
