import type { Actor, Change } from "./auth-store.ts";
import type { ListRange } from "./user-directory.ts";

/** A certificate of a user who runs the suite. */
export interface OperatorCertificateRecord {
  /** Hexadecimal. */
  readonly sha256: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly userId: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly revokedAtMs: number | undefined;
  /** The user, as they are now. */
  readonly name: string;
  readonly role: number;
}

/** A certificate that is not in the store yet. */
export type NewOperatorCertificate = Pick<OperatorCertificateRecord, "sha256" | "serial" | "userId" | "expiresAtMs">;

/** Which certificates are to be revoked. */
export type RevocationTarget =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "serial"; readonly serial: string }
  | { readonly kind: "certificate"; readonly certificate: NewOperatorCertificate };

/**
 * Keeps the certificates of operators. Every change is durable, and is in the change log and the audit log, or did not happen. `now` is
 * in milliseconds since the epoch.
 */
export interface OperatorCertificateStore {
  /**
   * Enters a certificate and its user, whom nobody may have been before, unless entered here with the same name, role and organization.
   */
  enter(
    certificate: NewOperatorCertificate & {
      readonly organizationId: string;
      readonly name: string;
      readonly role: number;
    },
    now: number,
    actor: Actor,
  ): Promise<
    Change<"entered" | "unchanged" | "taken"> & { readonly certificate: OperatorCertificateRecord | undefined }
  >;

  /** The certificates of an organization, by SHA-256. */
  list(organizationId: string, range: ListRange): Promise<readonly OperatorCertificateRecord[]>;

  /** Revokes certificates of an organization. Answers all that the target names; none: there is no such thing. */
  revoke(
    target: RevocationTarget,
    about: { readonly organizationId: string; readonly reason: string },
    now: number,
    actor: Actor,
  ): Promise<Change<readonly OperatorCertificateRecord[]>>;
}
