import { Role } from "@sandgate/api/options";
import { findClaim, findClaimWords } from "./claim-path.ts";
import type { OidcProviderSettings } from "./oidc-settings.ts";
import { oidcUserId } from "./oidc-user-id.ts";

/** What a valid token of an OpenID provider says. */
export interface OidcClaims {
  readonly userId: string;
  readonly issuer: string;
  readonly subject: string;
  /** For people to read; proves nothing. */
  readonly name: string;
  readonly organizationId: string;
  /** Undefined where the provider names organizations by their id alone. */
  readonly organizationName: string | undefined;
  readonly role: Role;
  /** Milliseconds since the epoch. */
  readonly issuedAtMs: number;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** Why a token that its provider has signed is refused. */
export type OidcFault =
  | "audience"
  | "expired"
  | "not_yet_valid"
  | "life"
  | "bound"
  | "subject"
  | "organization"
  | "scope"
  | "malformed";

/** The provider's clock and ours may differ by this much. */
const CLOCK_SKEW_MS = 5_000;
/** A revocation of a user is remembered a little longer than this; a token that outlived it would be good again. */
const MAX_LIFE_MS = 24 * 3_600_000;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether a token that expires then is expired, the skew allowed for. */
export function hasOidcTokenExpired(expiresAtMs: number, now: number): boolean {
  return now >= expiresAtMs + CLOCK_SKEW_MS;
}

/**
 * The claims of a token whose signature was verified and whose issuer is the provider's (G-04), at `now` in milliseconds since the
 * epoch; or why they are refused. Without a role that is configured a user is a viewer: to be authenticated is no role.
 */
export function readOidcClaims(
  payload: Readonly<Record<string, unknown>>,
  provider: OidcProviderSettings,
  now: number,
): OidcClaims | OidcFault {
  const issuedAtMs = timeOf(payload.iat);
  const expiresAtMs = timeOf(payload.exp);
  const notBeforeMs = payload.nbf === undefined ? issuedAtMs : timeOf(payload.nbf);
  if (issuedAtMs === undefined || expiresAtMs === undefined || notBeforeMs === undefined) return "malformed";
  if (!audiencesOf(payload.aud).some((audience) => provider.audiences.includes(audience))) return "audience";
  if (issuedAtMs > now + CLOCK_SKEW_MS || notBeforeMs > now + CLOCK_SKEW_MS) return "not_yet_valid";
  if (hasOidcTokenExpired(expiresAtMs, now)) return "expired";
  if (expiresAtMs <= issuedAtMs || expiresAtMs - issuedAtMs > MAX_LIFE_MS) return "life";
  // bound to a key whose possession nobody has proved here (RFC 8705, RFC 9449): it is no bearer token
  if (payload.cnf !== undefined) return "bound";
  const subject = payload.sub;
  if (typeof subject !== "string" || !isPlainText(subject, 255)) return "subject";
  const scopes = scopesOf(payload);
  if (!provider.required_scopes.every((scope) => scopes.includes(scope))) return "scope";
  const organizationId = organizationOf(payload, provider);
  if (organizationId === undefined) return "organization";
  return {
    userId: oidcUserId(provider.issuer, subject),
    issuer: provider.issuer,
    subject,
    name: nameOf(payload, subject),
    organizationId,
    organizationName: provider.organization.name,
    role: roleOf(payload, provider),
    issuedAtMs,
    expiresAtMs,
  };
}

/** NumericDate (RFC 7519): seconds, which may have a fraction. */
function timeOf(value: unknown): number | undefined {
  return typeof value === "number" && value > 0 && value <= 0xff_ffff_ffff ? Math.floor(value * 1000) : undefined;
}

function audiencesOf(value: unknown): readonly string[] {
  return (Array.isArray(value) ? value : [value]).filter((audience) => typeof audience === "string");
}

/** `scope` as in RFC 9068, or `scp`, as a list or with spaces. */
function scopesOf(payload: Readonly<Record<string, unknown>>): readonly unknown[] {
  const value = payload.scope ?? payload.scp;
  return typeof value === "string" ? value.split(" ") : Array.isArray(value) ? value : [];
}

function organizationOf(
  payload: Readonly<Record<string, unknown>>,
  { organization }: OidcProviderSettings,
): string | undefined {
  if (organization.id !== undefined) return organization.id;
  const value = findClaim(payload, organization.claim);
  const id = typeof value === "string" ? value.toLowerCase() : "";
  return uuid.test(id) ? id : undefined;
}

function roleOf(payload: Readonly<Record<string, unknown>>, { roles }: OidcProviderSettings): Role {
  const words = findClaimWords(payload, roles.claim);
  if (words.some((word) => roles.admin.includes(word))) return Role.ADMIN;
  if (words.some((word) => roles.operator.includes(word))) return Role.OPERATOR;
  return Role.VIEWER;
}

function nameOf(payload: Readonly<Record<string, unknown>>, subject: string): string {
  const candidates = [payload.preferred_username, payload.email, payload.name, subject];
  const name = candidates.find((value) => typeof value === "string" && isPlainText(value, 255));
  return typeof name === "string" ? name.slice(0, 100) : "";
}

/** Text that a terminal and a log line can take. */
function isPlainText(value: string, maximum: number): boolean {
  return value.length > 0 && value.length <= maximum && value.isWellFormed() && !/\p{C}/u.test(value);
}
