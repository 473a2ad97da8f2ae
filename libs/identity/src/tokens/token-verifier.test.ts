import { generateKeyPairSync } from "node:crypto";
import { Role } from "@sandgate/api/options";
import { beforeEach, expect, it } from "vitest";
import { createKeySet, formatJwks, type KeySet } from "./key-set.ts";
import { mintToken } from "./mint-token.ts";
import { createTokenSigner } from "./token-signer.ts";
import { TokenVerifier } from "./token-verifier.ts";

const start = Date.parse("2026-03-01T12:00:00Z");
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const signer = createTokenSigner(privateKey);

let now: number;
let trusted: KeySet;
let verifier: TokenVerifier<"user">;
beforeEach(() => {
  now = start;
  trusted = createKeySet(formatJwks([publicKey]));
  verifier = new TokenVerifier({
    kind: "user",
    trustDomain: "sandgate.test",
    keys: { find: (kid) => trusted.find(kid) },
    clock: () => now,
    maxEntries: 2,
  });
});

const mint = (over: { tokenId?: string; lifeMs?: number } = {}) =>
  mintToken({
    signer,
    trustDomain: "sandgate.test",
    claims: {
      kind: "user",
      userId: "0b8f8c0e-1111-4222-8333-444455556666",
      organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
      role: Role.VIEWER,
      tokenId: over.tokenId ?? "t".repeat(43),
      issuedAtMs: start,
      expiresAtMs: start + (over.lifeMs ?? 600_000),
    },
  });

/** Whether it answered from memory: only a hit answers without a promise. */
const isHit = (token: string, thumbprint?: string) => {
  const answer = verifier.verify(token, thumbprint);
  if (!(answer instanceof Promise)) return true;
  answer.catch(() => undefined);
  return false;
};

it("remembers a good token for its certificate alone", async () => {
  const token = await mint();
  expect(await verifier.verify(token, "a")).toMatchObject({ outcome: "verified" });
  expect(isHit(token, "a")).toBe(true);
  expect(isHit(token, "b")).toBe(false);
  expect(isHit(token)).toBe(false);
});

it("forgets after 60 seconds", async () => {
  const token = await mint();
  await verifier.verify(token, undefined);
  now += 59_999;
  expect(isHit(token)).toBe(true);
  now += 1;
  expect(isHit(token)).toBe(false);
});

it("checks expiry at every hit", async () => {
  const token = await mint({ lifeMs: 10_000 });
  await verifier.verify(token, undefined);
  now += 15_000;
  expect(await verifier.verify(token, undefined)).toMatchObject({ outcome: "rejected", fault: "expired" });
});

it("remembers no failure", async () => {
  const token = await mint();
  const key = trusted;
  trusted = { find: () => undefined };
  expect(await verifier.verify(token, undefined)).toEqual({ outcome: "not_ours" });
  trusted = key;
  expect(await verifier.verify(token, undefined)).toMatchObject({ outcome: "verified" });
});

it("forgets everything when the epoch is bumped, also what was being verified", async () => {
  const token = await mint();
  const pending = verifier.verify(token, undefined);
  verifier.bumpEpoch();
  await pending;
  expect(isHit(token)).toBe(false);
});

it("forgets the oldest when it is full", async () => {
  const tokens = await Promise.all(["a", "b", "c"].map((letter) => mint({ tokenId: letter.repeat(43) })));
  for (const token of tokens) await verifier.verify(token, undefined);
  expect(tokens.map((token) => isHit(token))).toEqual([false, true, true]);
});
