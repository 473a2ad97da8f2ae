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
