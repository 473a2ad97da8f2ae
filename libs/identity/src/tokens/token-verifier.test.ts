import { generateKeyPairSync } from "node:crypto";
import { Role } from "@sandgate/api/options";
import { beforeEach, describe, expect, it } from "vitest";
import { createKeySet, formatJwks, type KeySet } from "./key-set.ts";
import { mintToken } from "./mint-token.ts";
import type { TokenClaims } from "./token-claims.ts";
import { createTokenSigner } from "./token-signer.ts";
import { TokenVerifier } from "./token-verifier.ts";

const start = Date.parse("2026-03-01T12:00:00Z");
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const signer = createTokenSigner(privateKey);
const own = "k".repeat(43);

let now: number;
let trusted: KeySet;
let asked: number;
let verifier: TokenVerifier<"session">;
beforeEach(() => {
  now = start;
  asked = 0;
  trusted = createKeySet(formatJwks([publicKey]));
  verifier = new TokenVerifier({
    kind: "session",
    trustDomain: "sandgate.test",
    keys: {
      find: (kid) => {
        asked += 1;
        return trusted.find(kid);
      },
    },
    clock: () => now,
    maxEntries: 2,
  });
});

const mint = (over: { tokenId?: string; lifeMs?: number } = {}) =>
  mintToken({
    signer,
    trustDomain: "sandgate.test",
    claims: {
      kind: "session",
      sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa",
      organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
      incarnation: 1n,
      keyThumbprint: own,
      tokenId: over.tokenId ?? "t".repeat(43),
      issuedAtMs: start,
      expiresAtMs: start + (over.lifeMs ?? 600_000),
    },
  });

describe.each([
  ["by itself", undefined],
  ["on a connection that has brought it before", {}],
] as const)("a remembered token, %s", (_, origin) => {
  const recall = (token: string, key: string | undefined) => verifier.recall(token, key, undefined, origin);
  const isHit = (token: string) => recall(token, own) !== undefined;

  it("answers at once, without the key, for a token that it has verified", async () => {
    const token = await mint();
    const verified = await verifier.verify(token, own);
    expect(verified).toMatchObject({ outcome: "verified", keyId: signer.kid });
    expect(verifier.verify(token, own)).toEqual(verified);
    expect(asked).toBe(1);
  });

  it("G-16 refuses a remembered token that comes with another certificate's key, or with none", async () => {
    const token = await mint();
    await verifier.verify(token, own);
    expect(isHit(token)).toBe(true);
    for (const other of ["x".repeat(43), undefined])
      expect([recall(token, other), await verifier.verify(token, other)]).toMatchObject([
        undefined,
        { outcome: "rejected", fault: "binding" },
      ]);
    expect(isHit(token)).toBe(true);
  });

  describe("a clock that steps", () => {
    it("forgets after 60 seconds", async () => {
      const token = await mint();
      await verifier.verify(token, own);
      now += 59_999;
      expect(isHit(token)).toBe(true);
      now += 1;
      expect(isHit(token)).toBe(false);
    });

    it("makes nothing last longer when it is put back, and forgets nothing else when it is right again", async () => {
      const token = await mint();
      now += 30_000;
      await verifier.verify(token, own);
      now -= 20_000;
      expect(isHit(token)).toBe(false);
      expect(await verifier.verify(token, own)).toMatchObject({ outcome: "verified" });
      now -= 3_600_000;
      expect(await verifier.verify(token, own)).toMatchObject({ outcome: "rejected", fault: "claims" });
      now = start + 30_000;
      expect(await verifier.verify(token, own)).toMatchObject({ outcome: "verified" });
    });

    it("refuses what has expired meanwhile, and what it finds expired after a step forward", async () => {
      const token = await mint({ lifeMs: 10_000 });
      await verifier.verify(token, own);
      expect(isHit(token)).toBe(true);
      now += 15_000;
      expect(recall(token, own)).toMatchObject({ outcome: "rejected", fault: "expired" });
      expect(await verifier.verify(token, own)).toMatchObject({ outcome: "rejected", fault: "expired" });
      now += 86_400_000;
      expect(await verifier.verify(token, own)).toMatchObject({ outcome: "rejected", fault: "expired" });
    });
  });

  it("remembers no failure", async () => {
    const token = await mint();
    const key = trusted;
    trusted = { find: () => undefined };
    expect(await verifier.verify(token, own)).toEqual({ outcome: "not_ours" });
    trusted = key;
    expect(await verifier.verify(token, own)).toMatchObject({ outcome: "verified" });
  });

  it("forgets everything when the epoch is bumped, also what was being verified", async () => {
    const token = await mint();
    await verifier.verify(token, own);
    expect(isHit(token)).toBe(true);
    verifier.bumpEpoch();
    const pending = verifier.verify(token, own);
    verifier.bumpEpoch();
    await pending;
    expect([isHit(token), verifier.size]).toEqual([false, 0]);
  });

  it("forgets the oldest when it is full, and what is past when it learns of another", async () => {
    const tokens = await Promise.all(["a", "b", "c", "d"].map((letter) => mint({ tokenId: letter.repeat(43) })));
    for (const token of tokens.slice(0, 3)) await verifier.verify(token, own);
    expect(tokens.map(isHit)).toEqual([false, true, true, false]);
    now += 60_000;
    await verifier.verify(tokens[3] ?? "", own);
    expect(verifier.size).toBe(1);
  });

  it("does not take one token for another that differs in a single character", async () => {
    const token = await mint();
    await verifier.verify(token, own);
    expect(isHit(token)).toBe(true);
    const [header, payload, signature] = token.split(".");
    for (const text of [`${header}.${payload}.`, `${header}.${payload}A.${signature}`, `${token} `, token.slice(1)])
      expect(recall(text, own)).toBeUndefined();
  });

  describe("recalls what it verified, to the last claim:", () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const lifetime = { tokenId: "t".repeat(43), issuedAtMs: start, expiresAtMs: start + 5_000 };
    const organizationId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
    const sandbox = { ...lifetime, organizationId, sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa", incarnation: 3n };
    const user = { kind: "user", ...lifetime, organizationId, userId: organizationId, role: Role.VIEWER } as const;
    const egress = {
      kind: "egress",
      ...sandbox,
      audience: "egress-proxy",
      enforceContainerBinding: true,
      useEgressGateway: false,
      enforceCentralizedEgress: true,
      isHipaaRegulated: true,
      isPciCompliant: false,
      allowedHosts: undefined,
      confirmation: undefined,
    } as const;

    it.each<[string, TokenClaims]>([
      ["a bootstrap token", { kind: "bootstrap", ...sandbox }],
      ["a session token", { kind: "session", ...sandbox, keyThumbprint: own }],
      ["a user's token", user],
      ["a user's token by an API key", { ...user, session: { kind: "api-key", id: organizationId } }],
      ["a container token", egress],
      [
        "a container token with hosts and a key",
        {
          ...egress,
          incarnation: BigInt(Number.MAX_SAFE_INTEGER),
          allowedHosts: ["a.example.test", "b.example.test"],
          confirmation: { kind: "key", thumbprint: own },
        },
      ],
      ["a permit", { kind: "exchange-permit", ...sandbox, audience: 'sts."example",[x]', policyRevision: 7n }],
    ])("%s", async (_name, claims) => {
      const tokenSigner = claims.kind === "egress" ? createTokenSigner(ec.privateKey) : signer;
      const token = await mintToken({ signer: tokenSigner, trustDomain: "sandgate.test", claims });
      const keys = createKeySet(formatJwks([publicKey, ec.publicKey]));
      const ofKind = new TokenVerifier({ kind: claims.kind, trustDomain: "sandgate.test", keys, clock: () => now });
      const verified = await ofKind.verify(token, own);
      expect(verified).toEqual({ outcome: "verified", claims, keyId: tokenSigner.kid });
      expect(ofKind.recall(token, own)).toEqual(verified);
    });
  });
});
