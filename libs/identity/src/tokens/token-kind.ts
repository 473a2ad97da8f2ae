/** The kinds of token that Auth mints and that we verify. Tokens for third parties are none of them: nothing of ours takes those. */
export type TokenKind = "bootstrap" | "session" | "user" | "egress" | "exchange-permit";

/** A signature algorithm of ours. */
export type TokenAlgorithm = "EdDSA" | "ES256";

/** What is fixed for every token of a kind. */
export interface TokenRule {
  /** The header's `typ`, which says the kind. */
  readonly type: string;
  readonly algorithm: TokenAlgorithm;
  readonly audience: string;
  /** A token that says it lives longer is refused, whoever signed it. */
  readonly maxLifeMs: number;
}

const minuteMs = 60_000;

/** The rule of each kind. */
export const tokenRules: Readonly<Record<TokenKind, TokenRule>> = {
  bootstrap: {
    type: "sandgate-bootstrap+jwt",
    algorithm: "EdDSA",
    audience: "sandgate/enrol",
    maxLifeMs: 10 * minuteMs,
  },
  session: { type: "sandgate-session+jwt", algorithm: "EdDSA", audience: "sandgate", maxLifeMs: 24 * 60 * minuteMs },
  user: { type: "sandgate-user+jwt", algorithm: "EdDSA", audience: "sandgate", maxLifeMs: 15 * minuteMs },
  egress: { type: "JWT", algorithm: "ES256", audience: "egress-proxy", maxLifeMs: 4 * 60 * minuteMs },
  "exchange-permit": {
    type: "sandgate-exchange-permit+jwt",
    algorithm: "EdDSA",
    audience: "sandgate/exchange",
    maxLifeMs: 5_000,
  },
};

/** The claim of a user's token that names what it was had by: `sid` as OpenID Connect has it, or the API key. */
export const sessionClaims = { login: "sid", "api-key": "api_key_id" } as const;

/** The `iss` of every token of a trust domain. */
export function tokenIssuer(trustDomain: string): string {
  return `https://auth.${trustDomain}`;
}
