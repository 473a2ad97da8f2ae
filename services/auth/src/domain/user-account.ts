/** A user with what only Auth may know of them. */
export interface UserAccount {
  readonly userId: string;
  readonly organizationId: string;
  /** Undefined for users of the configuration. */
  readonly login: string | undefined;
  readonly name: string;
  /** The number of a role in sandgate.options.v1.Role. */
  readonly role: number;
  readonly active: boolean;
  readonly passwordHash: string | undefined;
}

/** An open invitation. */
export interface Invitation {
  readonly id: string;
  readonly organizationId: string;
  readonly login: string;
  readonly role: number;
  /** The account that may set a new password; undefined: the account is yet to be made. */
  readonly userId: string | undefined;
  readonly inviterUserId: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}
