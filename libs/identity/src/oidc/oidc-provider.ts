import { readFileSync } from "node:fs";
import { fetchJson } from "./fetch-json.ts";
import { type ForeignJwt, type ForeignJwtFault, findSignatureFault, parseForeignJwt } from "./foreign-jwt.ts";
import { type ForeignKey, type ForeignKeySet, readForeignKeySet } from "./foreign-key-set.ts";
import { hasOidcTokenExpired, type OidcClaims, type OidcFault, readOidcClaims } from "./oidc-claims.ts";
import type { OidcProviderSettings } from "./oidc-settings.ts";
import { RemoteKeys } from "./remote-keys.ts";

/** What became of a token. */
export type OidcVerification =
  | { readonly outcome: "verified"; readonly claims: OidcClaims }
  /** No JWT of this provider: the next authenticator's matter. */
  | { readonly outcome: "not_ours" }
  | { readonly outcome: "rejected"; readonly fault: ForeignJwtFault | OidcFault }
  /** The provider's keys cannot be had: nothing is decided. */
  | { readonly outcome: "unavailable" };

const MAX_CACHE_MS = 60_000;
const MAX_CACHED = 20_000;

/** One OpenID provider: reads its discovery document and keys, and verifies its tokens. Holds its good ones for at most 60 seconds. */
export class OidcProvider {
  readonly settings: OidcProviderSettings;
  readonly #keys: RemoteKeys<ForeignKey>;
  readonly #clock: () => number;
  #verified = new Map<string, { readonly claims: OidcClaims; readonly untilMs: number }>();

  /** Throws when the file of its authorities cannot be read. Nothing is asked of the provider before `start`. */
  constructor(deps: {
    readonly settings: OidcProviderSettings;
    readonly clock: () => number;
    /** Told once, each time that the provider begins to fail. */
    readonly onFault: (fault: unknown) => void;
  }) {
    const { settings } = deps;
    this.settings = settings;
    this.#clock = deps.clock;
    const ca = settings.ca_file === undefined ? undefined : readFileSync(settings.ca_file, "utf8");
    this.#keys = new RemoteKeys({
      read: (signal) => readProviderKeys(settings, { signal, ca }),
      clock: deps.clock,
      onFault: deps.onFault,
      onChange: () => {
        this.#verified = new Map();
      },
    });
  }

  start(): void {
    this.#keys.start();
  }

  stop(): Promise<void> {
    return this.#keys.stop();
  }

  /** Throws while tokens of the provider cannot be verified: a readiness check. */
  check(): void {
    if (!this.#keys.isUsable()) throw new Error("the provider's keys cannot be read");
  }

  async verify(token: string): Promise<OidcVerification> {
    const now = this.#clock();
    const known = this.#verified.get(token);
    if (known !== undefined && now < known.untilMs && this.#keys.isUsable())
      return hasOidcTokenExpired(known.claims.expiresAtMs, now)
        ? rejected("expired")
        : { outcome: "verified", claims: known.claims };
    const jwt = parseForeignJwt(token);
    if (jwt === undefined || jwt.payload.iss !== this.settings.issuer) return { outcome: "not_ours" };
    const verified = this.#verified; // a verification that began with other keys is not remembered
    const verification = await this.#verify(jwt, now);
    if (verification.outcome === "verified") remember(verified, token, verification.claims, now + MAX_CACHE_MS);
    return verification;
  }

  async #verify(jwt: ForeignJwt, now: number): Promise<OidcVerification> {
    const fault = await findSignatureFault(jwt, { algorithms: this.settings.algorithms, keys: this.#keys });
    if (fault === "unavailable") return { outcome: "unavailable" };
    if (fault !== undefined) return rejected(fault);
    const claims = readOidcClaims(jwt.payload, this.settings, now);
    return typeof claims === "string" ? rejected(claims) : { outcome: "verified", claims };
  }
}

/** Discovery first (OpenID Connect Discovery 1.0, section 4): its issuer must be the one that is configured. */
async function readProviderKeys(
  settings: OidcProviderSettings,
  options: { readonly signal: AbortSignal; readonly ca: string | undefined },
): Promise<ForeignKeySet> {
  const issuer = new URL(settings.issuer);
  const discovery = new URL(`${settings.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const document = await fetchJson(discovery, options);
  const { issuer: named, jwks_uri: jwksUri } = isRecord(document) ? document : {};
  if (named !== settings.issuer) throw new Error("the discovery document is of another issuer");
  const keys = typeof jwksUri === "string" && URL.canParse(jwksUri) ? new URL(jwksUri) : undefined;
  // plain http only where the issuer itself is: on this machine, in development
  if (keys === undefined || (keys.protocol !== "https:" && keys.origin !== issuer.origin))
    throw new Error("the discovery document names no key set over https");
  return readForeignKeySet(await fetchJson(keys, options), settings.algorithms);
}

function remember(
  verified: Map<string, { readonly claims: OidcClaims; readonly untilMs: number }>,
  token: string,
  claims: OidcClaims,
  untilMs: number,
): void {
  verified.delete(token);
  verified.set(token, { claims, untilMs });
  if (verified.size <= MAX_CACHED) return;
  const oldest = verified.keys().next();
  if (!oldest.done) verified.delete(oldest.value);
}

function rejected(fault: Extract<OidcVerification, { outcome: "rejected" }>["fault"]): OidcVerification {
  return { outcome: "rejected", fault };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
