import type { Invitation } from "../domain/user-account.ts";
import type { UserChange, UserChangeDecision } from "../domain/user-administration.ts";
import type { Actor, Change } from "./auth-store.ts";

/** A user as administrators see them. */
export interface UserListing {
  readonly userId: string;
  readonly organizationId: string;
  readonly login: string | undefined;
  readonly name: string;
  readonly role: number;
  readonly active: boolean;
  /** Whether the configuration names the user. */
  readonly configured: boolean;
  readonly createdAtMs: number;
  readonly loggedInAtMs: number | undefined;
}

/** An account that is made with its password's hash. */
export interface NewAccount {
  readonly userId: string;
  readonly login: string;
  readonly name: string;
  readonly role: number;
  readonly passwordHash: string;
}

/** Part of a list. */
export interface ListRange {
  /** Where the last page ended; undefined: from the beginning. */
  readonly after: string | undefined;
  readonly limit: number;
}

/**
 * Keeps organizations and who belongs to them. Every change is durable, and is in the change log and the audit log, or did not
 * happen. `now` is in milliseconds since the epoch.
 */
export interface UserDirectory {
  /** The users of an organization, by id. */
  list(organizationId: string, range: ListRange): Promise<readonly UserListing[]>;

  /** Changes a user, given by id or login name, on behalf of an administrator. */
  change(
    request: { readonly callerUserId: string; readonly user: string; readonly change: UserChange },
    now: number,
    actor: Actor,
  ): Promise<Change<UserChangeDecision> & { readonly user: UserListing | undefined }>;

  /** Makes an account in an organization that there is. */
  import(
    account: NewAccount & { readonly organizationId: string },
    now: number,
    actor: Actor,
  ): Promise<Change<"imported" | "login_taken"> & { readonly user: UserListing | undefined }>;

  /** Makes an organization and the account of its administrator. */
  signUp(
    account: NewAccount & { readonly organizationId: string; readonly organizationName: string },
    now: number,
    actor: Actor,
  ): Promise<Change<"signed_up" | "login_taken">>;

  /** Makes an organization and opens its first invitation, on behalf of a user whom the configuration names. */
  createOrganization(
    organization: {
      readonly name: string;
      readonly invitation: Omit<Invitation, "userId"> & { readonly tokenHash: Uint8Array };
    },
    actor: Actor,
  ): Promise<"created" | "not_configured">;

  /** The open invitations into an organization, by login name. */
  listInvitations(organizationId: string, range: ListRange, now: number): Promise<readonly Invitation[]>;

  /** Withdraws an invitation, given by id or login name. */
  withdrawInvitation(organizationId: string, invitation: string, actor: Actor): Promise<"withdrawn" | "absent">;
}
