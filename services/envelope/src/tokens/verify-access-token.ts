import { type ForeignJwtFault, findSignatureFault, parseForeignJwt } from "@sandgate/identity/remote-keys";
import { type ClientAddress, readClientAddress } from "../domain/client-address.ts";
import type { Refusal } from "../domain/refusal.ts";
import type { TokenAlgorithm, VerifyKeys } from "./open-verify-keys.ts";

/** Whose tokens are good. */
export interface Issuer {
  readonly issuer: string;
  readonly algorithms: readonly TokenAlgorithm[];
  readonly keys: VerifyKeys;
}

/** What a token's `sub` is: the service, the client's address, or the service with the address in the claim `client_ip`. */
export type SubjectMode = "service" | "client-ip" | "both";

/** What a good token says. */
export interface AccessClaims {
  readonly issuer: string;
  readonly subject: string;
  readonly expiresAtMs: number;
  /** Undefined where tokens may be used again and again, in compatible mode alone. */
  readonly tokenId: string | undefined;
}

/** What a good token says, and which addresses it lets in: the client's own first. */
export interface AccessGrant {
  readonly claims: AccessClaims;
  /** Whether it is the monitor's. */
  readonly isMonitor: boolean;
  readonly addresses: readonly [ClientAddress, ...ClientAddress[]];
}

export type TokenOutcome =
  | ({ readonly outcome: "good" } & AccessGrant)
  | {
      readonly outcome: "refused";
      readonly refusal: Refusal;
      /** Whose good token it is, where M-Lab's handler, not its token middleware, finds the fault. */
      readonly issuer?: string;
      /** When it is worth asking again. */
      readonly retryAfterMs?: number;
    };

/** The one subject of the monitoring issuer's tokens. */
const MONITORING = "monitoring";

/** What decides which tokens are good. */
export interface TokenRules {
  readonly clients: Issuer | undefined;
  /** Of a key of its own, so that who signs for clients cannot make himself the monitor (EW-16). */
  readonly monitoring: Issuer | undefined;
  readonly machine: string;
  readonly service: string | undefined;
  readonly subjectMode: SubjectMode;
  /** M-Lab's tokens need neither `iat` nor `jti`. */
  readonly compatible: boolean;
  /** Whether the clients' issuer may vouch for the monitor too (E-26). */
  readonly monitoringSubject: boolean;
  /** Whether a token counts once (EW-09), or until it expires (E-27). */
  readonly singleUse: boolean;
}

/** Whether a token is good (E-20 to E-30), but for whether it was used before. */
export async function verifyAccessToken(
  token: string,
  rules: TokenRules,
  client: { readonly address: ClientAddress; readonly nowMs: number },
): Promise<TokenOutcome> {
  const jwt = parseForeignJwt(token);
  if (jwt === undefined) return refuse("token_malformed");
  const issuer = [rules.clients, rules.monitoring].find((known) => known?.issuer === jwt.payload["iss"]);
  if (issuer === undefined) return refuse("token_issuer");
  const broken = await findSignatureFault(jwt, issuer);
  if (broken !== undefined) return refuse(signatureRefusals[broken]);
  const claims = readClaims(jwt.payload, issuer, rules);
  const named = readClientAddresses(jwt.payload["client_ips"]);
  if (claims === undefined || named === "malformed") return refuse("token_claims", issuer.issuer);
  const payload = { ...jwt.payload, client_ip: jwt.payload["client_ip"] ?? named?.map(({ text }) => text) };
  const fault = findClaimFault(payload, claims, rules.machine, client.nowMs);
  if (fault !== undefined) return refuse(fault);
  const isMonitor = issuer === rules.monitoring || (rules.monitoringSubject && claims.subject === MONITORING);
  const refusal =
    findSubjectFault(payload, claims, isMonitor ? undefined : rules, client.address) ??
    (named?.some(({ text }) => text === client.address.text) === false ? "token_for_another_address" : undefined);
  if (refusal !== undefined) return refuse(refusal, issuer.issuer);
  const others = named?.filter(({ text }) => text !== client.address.text) ?? [];
  return { outcome: "good", claims, isMonitor, addresses: [client.address, ...others] };
}

/**
 * The claim `client_ips`: the client's addresses, one of each family at most, so that who asks over IPv6 may come over IPv4 too (EW-22).
 * Undefined where a token has none.
 */
function readClientAddresses(claim: unknown): readonly ClientAddress[] | "malformed" | undefined {
  if (claim === undefined) return undefined;
  if (!Array.isArray(claim) || claim.length === 0 || claim.length > 2) return "malformed";
  const addresses = claim.flatMap((text: unknown) => {
    const address = typeof text === "string" ? readClientAddress(text) : undefined;
    return address === undefined ? [] : [address];
  });
  const families = new Set(addresses.map(({ family }) => family));
  return families.size === claim.length ? addresses : "malformed";
}

const signatureRefusals: Readonly<Record<ForeignJwtFault | "unavailable", Refusal>> = {
  header: "token_malformed",
  algorithm: "token_algorithm",
  key: "token_key",
  signature: "token_signature",
  unavailable: "keys_unavailable",
};

function readClaims(
  payload: Payload,
  { issuer }: Issuer,
  { compatible, singleUse }: TokenRules,
): AccessClaims | undefined {
  const { sub, exp, iat, jti } = payload;
  if (typeof sub !== "string" || sub === "" || !isTime(exp)) return undefined;
  if (iat === undefined ? !compatible : !isTime(iat)) return undefined;
  if (jti === undefined ? !compatible : typeof jti !== "string" || jti === "") return undefined;
  return {
    issuer,
    subject: sub,
    expiresAtMs: exp * 1000,
    tokenId: typeof jti === "string" && singleUse ? jti : undefined,
  };
}

type Payload = Readonly<Record<string, unknown>>;

function findClaimFault(
  { aud, iat, nbf }: Payload,
  { expiresAtMs }: AccessClaims,
  machine: string,
  nowMs: number,
): Refusal | undefined {
  if (aud !== machine && !(Array.isArray(aud) && aud.includes(machine))) return "token_audience";
  if (nbf !== undefined && !isTime(nbf)) return "token_claims";
  if ((isTime(nbf) && nbf * 1000 > nowMs) || (isTime(iat) && iat * 1000 > nowMs)) return "token_not_yet_valid";
  return expiresAtMs <= nowMs ? "token_expired" : undefined;
}

/** `rules` are those for clients; undefined for the monitor. */
function findSubjectFault(
  payload: Payload,
  { subject }: AccessClaims,
  rules: TokenRules | undefined,
  client: ClientAddress,
): Refusal | undefined {
  const isForClient = (claim: unknown) =>
    [claim].flat().some((text) => typeof text === "string" && readClientAddress(text)?.text === client.text)
      ? undefined
      : "token_for_another_address";
  switch (rules?.subjectMode) {
    case undefined:
      return subject === MONITORING ? undefined : "token_subject";
    case "service":
      return subject === rules?.service ? undefined : "token_subject";
    case "client-ip":
      return readClientAddress(subject) === undefined ? "token_subject" : isForClient(subject);
    case "both":
      return subject === rules?.service ? isForClient(payload["client_ip"]) : "token_subject";
  }
}

/** Seconds since the epoch, of a year that has four digits. */
function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < 253_402_300_800;
}

function refuse(refusal: Refusal, issuer?: string): TokenOutcome {
  return { outcome: "refused", refusal, ...(issuer !== undefined && { issuer }) };
}
