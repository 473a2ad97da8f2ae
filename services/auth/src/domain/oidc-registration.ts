/** What a valid token of an OpenID provider says of its user. */
export interface OidcRegistration {
  readonly userId: string;
  readonly issuer: string;
  readonly subject: string;
  readonly name: string;
  readonly organizationId: string;
  /** Undefined where only the id is known. */
  readonly organizationName: string | undefined;
  readonly role: number;
  /** When the token was issued, in milliseconds since the epoch. */
  readonly issuedAtMs: number;
}

/** What the register has of a user by that id. */
export interface OidcUserRecord {
  readonly organizationId: string;
  readonly role: number;
  /** When the token was issued that this is from; undefined for a user who is of no provider. */
  readonly claimedAtMs: number | undefined;
}

/**
 * Decides what becomes of what a token says of a user who is known: the newest token is right, and one that is no newer and says
 * something else is refused, so that two tokens can never take turns.
 */
export function decideOidcRegistration(
  record: OidcUserRecord,
  registration: OidcRegistration,
): "change" | "unchanged" | "stale" | "taken" {
  if (record.claimedAtMs === undefined) return "taken";
  if (record.organizationId === registration.organizationId && record.role === registration.role) return "unchanged";
  return registration.issuedAtMs > record.claimedAtMs ? "change" : "stale";
}
