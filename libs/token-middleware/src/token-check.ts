import { createHash, type X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type EgressClaims, type TokenVerification, TokenVerifier } from "@sandgate/identity/tokens";
import { keyThumbprint } from "@sandgate/pki";
import { readBearerCredential } from "./bearer-credential.ts";
import type { ContainerToken } from "./container-token.ts";
import { createKeySource, type KeySource } from "./key-source.ts";
import { createRefusal, type Presentation, type RefusalReason, type Verdict } from "./refusal.ts";
import type { ContainerBinding, TokenCheckOptions } from "./token-check-options.ts";

const REVOCATION_MS = 2_000;

/** Checks the container tokens of requests. The styles stand in front of it; a framework of another kind can call `judge` itself. */
export interface TokenCheck<Connection = Socket> {
  /** What becomes of a request that came over this connection. Never rejects: what cannot be decided is refused. */
  judge(presented: Presentation, connection: Connection): Promise<Verdict>;
  /** The token that a style has accepted for this very request; undefined before. */
  tokenOf(request: object): ContainerToken | undefined;
  /** For styles: keeps the token of a request. */
  remember(request: object, token: ContainerToken): void;
  /** Ends the reading of keys. */
  close(): Promise<void>;
}

/**
 * A check for the tokens of one issuer and one audience: ES256 alone, by a key of the set; all of iss, aud, sub, iat, nbf, exp and jti; a
 * life of at most 4 hours; clocks that differ by at most 5 seconds; every flag true, "true", false or "false". A good token is
 * remembered for at most 60 seconds, and not beyond its key. Throws TypeError for options that cannot be meant.
 */
export function createTokenCheck<Connection = Socket>(options: TokenCheckOptions<Connection>): TokenCheck<Connection> {
  const judge = new Judge(options);
  const accepted = new WeakMap<object, ContainerToken>();
  return {
    judge: (presented, connection) => judge.judge(presented, connection),
    tokenOf: (request) => accepted.get(request),
    remember: (request, token) => void accepted.set(request, token),
    close: () => judge.close(),
  };
}

type Outcome = { readonly token: ContainerToken } | { readonly reason: RefusalReason };

class Judge<Connection> {
  readonly #binding: ContainerBinding<Connection>;
  readonly #certificateOf: (connection: Connection) => X509Certificate | undefined;
  readonly #isRevoked: TokenCheckOptions<Connection>["isRevoked"];
  readonly #realm: string;
  readonly #onFault: (fault: unknown) => void;
  readonly #clock: () => number;
  readonly #keys: KeySource;
  readonly #tokens: TokenVerifier<"egress">;

  constructor(options: TokenCheckOptions<Connection>) {
    this.#binding = options.binding ?? { by: "certificate" };
    this.#certificateOf = options.certificateOf ?? certificateOfSocket;
    this.#isRevoked = options.isRevoked;
    this.#onFault = options.onFault ?? (() => undefined);
    this.#clock = options.clock ?? Date.now;
    if (options.audience === "") throw new TypeError("an audience is required");
    this.#realm = options.realm ?? options.audience;
    if (!/^[\x20-\x7e]*$/.test(this.#realm) || /["\\]/.test(this.#realm))
      throw new TypeError("a realm that cannot stand in a header");
    const trustDomain = /^https:\/\/auth\.([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)$/.exec(options.issuer)?.[1];
    if (trustDomain === undefined) throw new TypeError("an issuer that is not https://auth.<trust domain>");
    this.#keys = createKeySource(options.keys, {
      clock: this.#clock,
      onFault: this.#onFault,
      onChange: () => this.#tokens.bumpEpoch(),
    });
    this.#tokens = new TokenVerifier({
      kind: "egress",
      trustDomain,
      audience: options.audience,
      keys: this.#keys,
      clock: this.#clock,
    });
  }

  close(): Promise<void> {
    return this.#keys.close();
  }

  async judge(presented: Presentation, connection: Connection): Promise<Verdict> {
    const outcome = await this.#decide(presented, connection).catch((fault: unknown) => {
      this.#onFault(fault);
      return { reason: "undecided" } as const;
    });
    return "token" in outcome
      ? { outcome: "accepted", token: outcome.token }
      : { outcome: "refused", refusal: createRefusal(outcome.reason, this.#realm) };
  }

  async #decide(presented: Presentation, connection: Connection): Promise<Outcome> {
    const credential = readBearerCredential(presented.authorization);
    if (credential.kind === "missing") return { reason: "missing" };
    if (credential.kind === "malformed") return { reason: "invalid" };
    const verification = await this.#verify(credential.token, connection);
    if (verification === undefined) return { reason: "undecided" };
    if (verification.outcome === "not_ours") return { reason: "invalid" };
    if (verification.outcome === "rejected") return { reason: reasonOf(verification.fault) };
    const { claims } = verification;
    if (claims.enforceContainerBinding && !(await this.#isFromItsContainer(claims, presented, connection)))
      return { reason: "mismatch" };
    const token = containerTokenOf(claims);
    return (await this.#wasRevoked(token)) ? { reason: "invalid" } : { token };
  }

  /** Undefined where the keys that would tell cannot be had. */
  async #verify(token: string, connection: Connection): Promise<TokenVerification<EgressClaims> | undefined> {
    const certificate = this.#certificateOf(connection);
    const key = certificate && thumbprintOf(certificate);
    const sha256 = certificate && createHash("sha256").update(certificate.raw).digest("base64url");
    const known = this.#keys.isUsable() ? this.#tokens.recall(token, key, sha256) : undefined;
    if (known !== undefined) return known;
    const kid = keyIdOf(token);
    if (kid === undefined) return { outcome: "not_ours" };
    if (this.#keys.find(kid) === undefined && !(await this.#keys.look(kid))) return undefined;
    return this.#tokens.verify(token, key, sha256);
  }

  async #isFromItsContainer(claims: EgressClaims, presented: Presentation, connection: Connection): Promise<boolean> {
    switch (this.#binding.by) {
      case "certificate":
        return claims.confirmation !== undefined; // that it matches was seen when the token was verified
      case "channel":
        return (await this.#binding.containerOf(connection)) === claims.sandboxId;
      case "compatible-header":
        return presented.containerId === claims.sandboxId;
    }
  }

  async #wasRevoked(token: ContainerToken): Promise<boolean> {
    if (this.#isRevoked === undefined) return false;
    const signal = AbortSignal.timeout(REVOCATION_MS);
    const late = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    return (await Promise.race([this.#isRevoked(token, signal), late])) !== false;
  }
}

function reasonOf(fault: Extract<TokenVerification<EgressClaims>, { outcome: "rejected" }>["fault"]): RefusalReason {
  switch (fault) {
    case "expired":
      return "expired";
    case "binding":
      return "mismatch";
    case "algorithm":
    case "claims":
    case "malformed":
    case "signature":
      return "invalid";
  }
}

/** What the header says, unverified: only to know whether its key has to be looked for. */
function keyIdOf(token: string): string | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString("utf8"));
    const kid = typeof header === "object" && header !== null && "kid" in header ? header.kid : undefined;
    return typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}

function certificateOfSocket(connection: unknown): X509Certificate | undefined {
  return connection instanceof TLSSocket ? connection.getPeerX509Certificate() : undefined;
}

/** Undefined for a key of a kind that no token names. */
function thumbprintOf({ publicKey }: X509Certificate): string | undefined {
  try {
    return keyThumbprint(publicKey);
  } catch {
    return undefined;
  }
}

function containerTokenOf({ kind: _, sandboxId, confirmation: __, ...claims }: EgressClaims): ContainerToken {
  return { ...claims, containerId: sandboxId, incarnation: Number(claims.incarnation) };
}
