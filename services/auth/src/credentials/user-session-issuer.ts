import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { UserSessionSchema } from "@sandgate/api/auth";
import { mintToken, tokenRules } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { UserSessionRecord, UserSessionStore } from "../store/user-session-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { hashSecretToken, newSecretToken } from "./secret-token.ts";

/** A new refresh token, and what is kept of it. */
export interface NewRefreshToken {
  readonly token: string;
  readonly hash: Uint8Array;
}

/** Begins login sessions, and makes the tokens of those that there are. */
export class UserSessionIssuer {
  readonly #store: Pick<UserSessionStore, "start">;
  readonly #keys: Pick<SigningKeys, "current">;
  readonly #feed: Pick<TrustFeed, "reached">;
  readonly #trustDomain: string;
  readonly #lifeMs: number;
  /** The SPIFFE id of a user. */
  readonly spiffeIdOf: (userId: string) => string;
  readonly #clock: () => number;
  readonly #newTokenId: () => string;

  constructor(deps: {
    readonly store: Pick<UserSessionStore, "start">;
    readonly keys: Pick<SigningKeys, "current">;
    readonly feed: Pick<TrustFeed, "reached">;
    readonly trustDomain: string;
    /** Of a session, from its login. */
    readonly lifeMs: number;
    readonly spiffeIdOf: (userId: string) => string;
    readonly clock: () => number;
    readonly newTokenId: () => string;
  }) {
    this.#store = deps.store;
    this.#keys = deps.keys;
    this.#feed = deps.feed;
    this.#trustDomain = deps.trustDomain;
    this.#lifeMs = deps.lifeMs;
    this.spiffeIdOf = deps.spiffeIdOf;
    this.#clock = deps.clock;
    this.#newTokenId = deps.newTokenId;
  }

  /** Begins a session. Throws LOGIN_FAILED for a user who is not active. */
  async start(userId: string, peer: string): Promise<MessageInitShape<typeof UserSessionSchema>> {
    const now = this.#clock();
    const refresh = this.newRefreshToken();
    const { decision: session, sequence } = await this.#store.start(
      { sessionId: randomUUID(), userId, refreshHash: refresh.hash, expiresAtMs: now + this.#lifeMs },
      now,
      { principal: this.spiffeIdOf(userId), peer },
    );
    if (session === undefined) throw new ServiceError("LOGIN_FAILED", "login name or password is wrong");
    await this.#feed.reached(sequence);
    return this.sessionOf(session, refresh.token);
  }

  newRefreshToken(): NewRefreshToken {
    const token = newSecretToken("sgr");
    const hash = hashSecretToken("sgr", token);
    if (hash === undefined) throw new Error("a new secret does not have its own checksum");
    return { token, hash };
  }

  /** The session with a new access token. */
  async sessionOf(
    session: UserSessionRecord,
    refreshToken: string,
  ): Promise<MessageInitShape<typeof UserSessionSchema>> {
    const { sessionId, userId, organizationId, role, name, login } = session;
    const issuedAtMs = Math.floor(this.#clock() / 1000) * 1000;
    const expiresAtMs = issuedAtMs + tokenRules.user.maxLifeMs;
    const accessToken = await mintToken({
      signer: this.#keys.current("EdDSA"),
      trustDomain: this.#trustDomain,
      claims: {
        kind: "user",
        userId,
        organizationId,
        role,
        tokenId: this.#newTokenId(),
        issuedAtMs,
        expiresAtMs,
        session: { kind: "login", id: sessionId },
      },
    });
    return {
      sessionId,
      accessToken,
      accessExpireTime: timestampFromMs(expiresAtMs),
      refreshToken,
      expireTime: timestampFromMs(session.expiresAtMs),
      login,
      user: { userId, organizationId, role, name, active: true },
    };
  }
}
