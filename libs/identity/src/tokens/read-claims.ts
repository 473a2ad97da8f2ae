import type { Role } from "@sandgate/api/options";
import { formatSpiffeId, type SpiffeKind } from "@sandgate/pki";
import { parseRole } from "./role-claim.ts";
import type { ClaimsByKind, Confirmation, UserSessionClaim } from "./token-claims.ts";
import { sessionClaims, type TokenKind, tokenIssuer, tokenRules } from "./token-kind.ts";

/** Clocks of two services may differ by this much. */
const CLOCK_SKEW_MS = 5_000;

/** Why claims were refused. */
export type ClaimsFault = "claims" | "expired";

/** The claims are not those of a valid token of the kind. */
export class ClaimsError extends Error {
  override readonly name = "ClaimsError";
  readonly fault: ClaimsFault;

  constructor(fault: ClaimsFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/**
 * The claims of a token whose signature was verified, at `now` (milliseconds since the epoch), for the relying party `audience`
 * (default: the kind's own). Throws ClaimsError unless issuer, audience, subject, times, life and every claim of the kind are as
 * the kind demands.
 */
export function readClaims<K extends TokenKind>(
  kind: K,
  payload: Readonly<Record<string, unknown>>,
  context: { readonly trustDomain: string; readonly now: number; readonly audience?: string | undefined },
): ClaimsByKind[K] {
  const { trustDomain, now } = context;
  const rule = tokenRules[kind];
  const audience = context.audience ?? rule.audience;
  if (payload.iss !== tokenIssuer(trustDomain)) throw new ClaimsError("claims", "another issuer");
  if (payload.aud !== audience) throw new ClaimsError("claims", "another audience");
  const issuedAtMs = requireTime(payload.iat);
  const expiresAtMs = requireTime(payload.exp);
  if (issuedAtMs > now + CLOCK_SKEW_MS || requireTime(payload.nbf) > now + CLOCK_SKEW_MS)
    throw new ClaimsError("claims", "not yet valid");
  if (expiresAtMs <= issuedAtMs || expiresAtMs - issuedAtMs > rule.maxLifeMs)
    throw new ClaimsError("claims", "a life out of range");
  if (hasExpired(expiresAtMs, now)) throw new ClaimsError("expired", "expired");
  const tokenId = requireText(payload.jti, /^[A-Za-z0-9_-]{16,64}$/);
  const claims = readers[kind](payload, trustDomain, audience);
  return { ...claims, tokenId, issuedAtMs, expiresAtMs } as ClaimsByKind[K]; // the reader of this kind made the rest
}

/** Whether a token that expires then is expired, the skew allowed for. */
export function hasExpired(expiresAtMs: number, now: number): boolean {
  return now >= expiresAtMs + CLOCK_SKEW_MS;
}

type Payload = Readonly<Record<string, unknown>>;
type OwnClaims<K extends TokenKind> = Omit<ClaimsByKind[K], "tokenId" | "issuedAtMs" | "expiresAtMs">;

const readers: {
  readonly [K in TokenKind]: (payload: Payload, trustDomain: string, audience: string) => OwnClaims<K>;
} = {
  bootstrap: (payload, trustDomain) => ({ kind: "bootstrap", ...readSandbox(payload, trustDomain) }),
  session: (payload, trustDomain) => ({
    kind: "session",
    ...readSandbox(payload, trustDomain),
    keyThumbprint: requireText(isRecord(payload.cnf) ? payload.cnf.jkt : undefined, sha256),
  }),
  user: (payload, trustDomain) => ({
    kind: "user",
    userId: requireSubject(payload, trustDomain, "user", userIdOf(payload.sub)),
    organizationId: requireText(payload.organization_id, uuid),
    role: requireRole(payload.role),
    ...readSession(payload),
  }),
  egress: (payload, trustDomain, audience) => ({
    kind: "egress",
    audience,
    sandboxId: requireSubject(payload, trustDomain, "sandbox", requireText(payload.container_id, sandboxId)),
    organizationId: requireText(payload.organization_uuid, uuid),
    incarnation: requireCount(payload.incarnation, "no incarnation"),
    enforceContainerBinding: readFlag(payload.enforce_container_binding, true),
    useEgressGateway: readFlag(payload.use_egress_gateway, true),
    enforceCentralizedEgress: readFlag(payload.enforce_centralized_egress, true),
    isHipaaRegulated: readFlag(payload.is_hipaa_regulated, false),
    isPciCompliant: readFlag(payload.is_pci_compliant, false),
    allowedHosts: readHosts(payload.allowed_hosts),
    confirmation: readConfirmation(payload.cnf),
  }),
  "exchange-permit": (payload, trustDomain) => ({
    kind: "exchange-permit",
    ...readSandbox(payload, trustDomain),
    audience: requireText(payload.permitted_audience, /^[\x21-\x7e]{1,255}$/),
    policyRevision: requireCount(payload.policy_revision, "no policy revision"),
  }),
};

const sandboxId = /^sbx-[a-z2-7]{20}$/;
/** base64url of 32 bytes. */
const sha256 = /^[A-Za-z0-9_-]{43}$/;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function readSandbox(payload: Payload, trustDomain: string) {
  return {
    sandboxId: requireSubject(payload, trustDomain, "sandbox", requireText(payload.sandbox_id, sandboxId)),
    organizationId: requireText(payload.organization_id, uuid),
    incarnation: requireCount(payload.incarnation, "no incarnation"),
  };
}

/** The name, once `sub` is the SPIFFE id of exactly that name. */
function requireSubject(payload: Payload, trustDomain: string, kind: SpiffeKind, name: string): string {
  if (payload.sub !== formatSpiffeId({ trustDomain, kind, name })) throw new ClaimsError("claims", "another subject");
  return name;
}

/** At most one of the two claims; both, or one that is no id, are refused. */
function readSession(payload: Payload): { readonly session?: UserSessionClaim } {
  const [first, second] = (["login", "api-key"] as const).filter((kind) => payload[sessionClaims[kind]] !== undefined);
  if (first === undefined) return {};
  if (second !== undefined) throw new ClaimsError("claims", "two sessions");
  return { session: { kind: first, id: requireText(payload[sessionClaims[first]], uuid) } };
}

function userIdOf(subject: unknown): string {
  return requireText(typeof subject === "string" ? subject.slice(subject.lastIndexOf("/") + 1) : undefined, uuid);
}

/** NumericDate of RFC 7519 in whole seconds; everything else that JSON calls a number is refused. */
function requireTime(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value <= 0 || value > 0xff_ffff_ffff)
    throw new ClaimsError("claims", "a time that is none");
  return value * 1000;
}

function requireText(value: unknown, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value))
    throw new ClaimsError("claims", "a claim is missing or malformed");
  return value;
}

/** A whole number from 1. */
function requireCount(value: unknown, fault: string): bigint {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) throw new ClaimsError("claims", fault);
  return BigInt(value);
}

function requireRole(value: unknown): Role {
  const role = parseRole(value);
  if (role === undefined) throw new ClaimsError("claims", "no role");
  return role;
}

/** One member that we check, or none at all: what we do not understand would go unchecked (RFC 7800, 3.1). */
function readConfirmation(value: unknown): Confirmation | undefined {
  if (value === undefined) return undefined;
  const members = isRecord(value) ? Object.entries(value) : [];
  const [[name, text] = []] = members;
  if (members.length !== 1) throw new ClaimsError("claims", "a confirmation that is not one of ours");
  switch (name) {
    case "jkt":
      return { kind: "key", thumbprint: requireText(text, sha256) };
    case "x5t#S256":
      return { kind: "certificate", sha256: requireText(text, sha256) };
    default:
      throw new ClaimsError("claims", "a confirmation that is not one of ours");
  }
}

/** D-06: true, "true", false or "false"; what is absent takes the enforcing value; all else is refused. */
function readFlag(value: unknown, absent: boolean): boolean {
  if (value === undefined) return absent;
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  throw new ClaimsError("claims", "a flag that is neither true nor false");
}

function readHosts(value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw new ClaimsError("claims", "hosts that are not a list");
  return value.split(",").filter((host) => host !== "");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
