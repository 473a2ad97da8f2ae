import type { SqlClient } from "@sandgate/postgres";
import type { Invitation, UserAccount } from "../domain/user-account.ts";

/** A row of `users`, with what only Auth may know. */
export interface UserAccountRow {
  readonly id: string;
  readonly organization_id: string;
  readonly login: string | null;
  readonly name: string;
  readonly role: number;
  readonly active: boolean;
  readonly password_hash: string | null;
}

/** The columns of a UserAccountRow. */
export const accountColumns = "id, organization_id, login, name, role, active, password_hash";

export function toUserAccount(row: UserAccountRow): UserAccount {
  return {
    userId: row.id,
    organizationId: row.organization_id,
    login: row.login ?? undefined,
    name: row.name,
    role: row.role,
    active: row.active,
    passwordHash: row.password_hash ?? undefined,
  };
}

/** A row of `invitations`. */
export interface InvitationRow {
  readonly id: string;
  readonly organization_id: string;
  readonly login: string;
  readonly role: number;
  readonly user_id: string | null;
  readonly inviter_user_id: string;
  readonly create_time: Date;
  readonly expire_time: Date;
}

/** The columns of an InvitationRow. */
export const invitationColumns = "id, organization_id, login, role, user_id, inviter_user_id, create_time, expire_time";

export function toInvitation(row: InvitationRow): Invitation {
  return {
    id: row.id,
    organizationId: row.organization_id,
    login: row.login,
    role: row.role,
    userId: row.user_id ?? undefined,
    inviterUserId: row.inviter_user_id,
    createdAtMs: row.create_time.getTime(),
    expiresAtMs: row.expire_time.getTime(),
  };
}

/** Opens an invitation; one of the same login name in the organization is replaced. */
export async function insertInvitation(
  tx: SqlClient,
  invitation: Omit<Invitation, "userId"> & { readonly tokenHash: Uint8Array },
): Promise<InvitationRow> {
  const { rows } = await tx.query<InvitationRow>(
    `insert into invitations (id, organization_id, login, role, user_id, inviter_user_id, token_hash, create_time, expire_time)
     values ($1, $2, $3, $4, (select id from users where login = $3 and organization_id = $2), $5, $6, $7, $8)
     on conflict (organization_id, login) do update
        set id = excluded.id, role = excluded.role, user_id = excluded.user_id,
            inviter_user_id = excluded.inviter_user_id, token_hash = excluded.token_hash,
            create_time = excluded.create_time, expire_time = excluded.expire_time
     returning ${invitationColumns}`,
    [
      invitation.id,
      invitation.organizationId,
      invitation.login,
      invitation.role,
      invitation.inviterUserId,
      invitation.tokenHash,
      new Date(invitation.createdAtMs),
      new Date(invitation.expiresAtMs),
    ],
  );
  const [row] = rows;
  if (row === undefined) throw new Error("the invitation was not kept");
  return row;
}
