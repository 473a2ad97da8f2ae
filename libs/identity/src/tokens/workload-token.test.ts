import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { createLocalJWKSet, jwtVerify } from "jose";
import { describe, expect, it } from "vitest";
import { createKeySet, formatJwks } from "./key-set.ts";
import { type TokenKind, tokenRules } from "./token-kind.ts";
import { verifyToken } from "./verify-token.ts";
import { createWorkloadSigner, mintWorkloadToken, type WorkloadSigner } from "./workload-token.ts";

const trustDomain = "sandgate.test";
const now = Date.parse("2026-03-01T12:00:00Z");
const ec = createWorkloadSigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const rsa = createWorkloadSigner(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey);
const claims = {
  sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa",
  audience: "sts.example.com",
  tokenId: "t".repeat(43),
  issuedAtMs: now,
  expiresAtMs: now + 300_000,
};
const jwksOf = (signer: WorkloadSigner) => formatJwks([createPublicKey(signer.privateKey)]);

describe.each([
  ["ES256", ec],
  ["RS256", rsa],
] as const)("a token for a third party by %s", (algorithm, signer) => {
  it("is a JWT-SVID that the key set verifies", async () => {
    const token = await mintWorkloadToken({ signer, trustDomain, claims });
    const { protectedHeader, payload } = await jwtVerify(token, createLocalJWKSet(JSON.parse(jwksOf(signer))), {
      issuer: "https://auth.sandgate.test",
      audience: "sts.example.com",
      currentDate: new Date(now),
    });
    expect(protectedHeader).toEqual({ typ: "JWT", alg: algorithm, kid: signer.kid });
    expect(payload).toEqual({
      iss: "https://auth.sandgate.test",
      sub: "spiffe://sandgate.test/sandbox/sbx-aaaaaaaaaaaaaaaaaaaa",
      aud: "sts.example.com",
      iat: now / 1000,
      exp: now / 1000 + 300,
      jti: claims.tokenId,
    });
  });

  it("is nothing to our own verifiers, not even to one that was given its key", async () => {
    const token = await mintWorkloadToken({ signer, trustDomain, claims });
    for (const kind of Object.keys(tokenRules) as TokenKind[]) {
      const context = { keys: createKeySet(jwksOf(signer)), trustDomain, now, keyThumbprint: undefined };
      expect((await verifyToken(kind, token, context)).outcome).not.toBe("verified");
    }
  });

  it.each([0, -1, 300_001])("is not minted with a life of %d ms", async (lifeMs) => {
    const minting = mintWorkloadToken({ signer, trustDomain, claims: { ...claims, expiresAtMs: now + lifeMs } });
    await expect(minting).rejects.toThrow(RangeError);
  });

  it.each(["sandgate", "sandgate/enrol", "sandgate/exchange", "egress-proxy", "https://auth.sandgate.test"])(
    "is not minted for an audience of ours: %s",
    async (audience) => {
      const minting = mintWorkloadToken({ signer, trustDomain, claims: { ...claims, audience } });
      await expect(minting).rejects.toThrow(RangeError);
    },
  );
});

it("no other key signs tokens for third parties", () => {
  for (const { privateKey, publicKey } of [
    generateKeyPairSync("ed25519"),
    generateKeyPairSync("rsa", { modulusLength: 1024 }),
    generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ]) {
    expect(() => createWorkloadSigner(privateKey)).toThrow(TypeError);
    expect(() => createWorkloadSigner(publicKey)).toThrow(TypeError);
  }
});
