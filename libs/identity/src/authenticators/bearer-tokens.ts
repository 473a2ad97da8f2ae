import { type Call, type Connection, ServiceError } from "@sandgate/rpc";
import { type ClaimsByKind, type TokenKind, type TokenVerification, TokenVerifier } from "../tokens/index.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState } from "../trust/trust-state.ts";
import { bearerToken } from "./authenticator.ts";
import { rejectionOf } from "./rejection.ts";

/** What an authenticator of tokens is made of. */
export interface TokenAuthenticatorDeps {
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly trustDomain: string;
  readonly clock: () => number;
}

type Verified<K extends TokenKind> = Extract<TokenVerification<ClaimsByKind[K]>, { readonly outcome: "verified" }>;

/** A signature costs a hundred times what a remembered token costs: more bad ones than this in a second are not looked at. */
const failuresPerSecond = 20;

/** The tokens of one kind that come in `authorization: Bearer` headers. */
export class BearerTokens<K extends TokenKind> {
  readonly #trust: TrustState;
  readonly #clock: () => number;
  readonly #verifier: TokenVerifier<K>;
  readonly #failures = new WeakMap<Connection, { second: number; count: number }>();

  constructor(kind: K, { trust, trustDomain, clock }: TokenAuthenticatorDeps) {
    this.#trust = trust;
    this.#clock = clock;
    this.#verifier = new TokenVerifier({ kind, trustDomain, keys: trust, clock });
    trust.onKeysChange(() => this.#verifier.bumpEpoch());
  }

  /**
   * The call's token, verified, while there is current revocation data; undefined when it has none of this kind. Throws for a bad
   * one, and for any when its connection has brought too many bad ones. Answers at once for one that was verified a short while ago.
   */
  read(call: Call, keyThumbprint?: string): Verified<K> | undefined | Promise<Verified<K> | undefined> {
    const token = bearerToken(call);
    if (token === undefined) return undefined;
    const known = this.#verifier.recall(token, keyThumbprint, undefined, call.connection);
    return known === undefined ? this.#verify(token, keyThumbprint, call.connection) : this.#accept(known);
  }

  async #verify(
    token: string,
    keyThumbprint: string | undefined,
    connection: Connection,
  ): Promise<Verified<K> | undefined> {
    const second = Math.floor(this.#clock() / 1000);
    const failures = this.#failures.get(connection);
    if (failures?.second === second && failures.count >= failuresPerSecond)
      throw new ServiceError("LIMIT_REACHED", "too many bad tokens came over this connection");
    const verification = await this.#verifier.verify(token, keyThumbprint);
    if (verification.outcome === "rejected")
      this.#failures.set(connection, { second, count: failures?.second === second ? failures.count + 1 : 1 });
    return this.#accept(verification);
  }

  #accept(verification: TokenVerification<ClaimsByKind[K]>): Verified<K> | undefined {
    switch (verification.outcome) {
      case "not_ours":
        return undefined;
      case "rejected":
        throw rejectionOf(verification.fault);
      case "verified":
        requireCurrent(this.#trust);
        return verification;
    }
  }
}
