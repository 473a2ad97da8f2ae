import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { Role } from "@sandgate/api/options";
import {
  createKeySet,
  createTokenSigner,
  createWorkloadSigner,
  formatJwks,
  mintToken,
  mintWorkloadToken,
  type TokenClaims,
  type TokenKind,
  TokenVerifier,
  verifyToken,
} from "@sandgate/identity/tokens";
import { createLocalJWKSet, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDice, isRespelledSignature, mutations, type Sample } from "./token-mutations.ts";

const trustDomain = "sandgate.test";
const now = Date.parse("2026-03-01T12:00:00Z");
const casesEach = 760;
const ed = generateKeyPairSync("ed25519");
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const workload = createWorkloadSigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const workloadKey = createPublicKey(workload.privateKey);
/** All in one set, as Auth publishes them. */
const jwks = formatJwks([ed.publicKey, ec.publicKey, workloadKey]);
const keys = createKeySet(jwks);
const kids = (JSON.parse(jwks) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
const own = "k".repeat(43);
const party = { issuer: `https://auth.${trustDomain}`, audience: "sts.example.com", currentDate: new Date(now) };

const lifetime = { issuedAtMs: now, expiresAtMs: now + 5_000 };
const organizationId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
const sandbox = { ...lifetime, organizationId, sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa", incarnation: 3n };
const claimsOf: Readonly<Record<TokenKind, (tokenId: string) => TokenClaims>> = {
  session: (tokenId) => ({ kind: "session", ...sandbox, tokenId, keyThumbprint: own }),
  bootstrap: (tokenId) => ({ kind: "bootstrap", ...sandbox, tokenId }),
  user: (tokenId) => ({
    kind: "user",
    ...lifetime,
    tokenId,
    userId: organizationId,
    organizationId,
    role: Role.VIEWER,
  }),
  egress: (tokenId) => ({
    kind: "egress",
    ...sandbox,
    tokenId,
    audience: "egress-proxy",
    enforceContainerBinding: true,
    useEgressGateway: true,
    enforceCentralizedEgress: true,
    isHipaaRegulated: false,
    isPciCompliant: false,
    allowedHosts: ["a.example.test"],
    confirmation: undefined,
  }),
  "exchange-permit": (tokenId) => ({
    kind: "exchange-permit",
    ...sandbox,
    tokenId,
    audience: "sts.example.com",
    policyRevision: 7n,
  }),
};
const kinds = Object.keys(claimsOf) as TokenKind[];

const signers = { EdDSA: createTokenSigner(ed.privateKey), ES256: createTokenSigner(ec.privateKey) };
const mint = (kind: TokenKind, tokenId: string) =>
  mintToken({ signer: signers[kind === "egress" ? "ES256" : "EdDSA"], trustDomain, claims: claimsOf[kind](tokenId) });
const mintFederation = (tokenId: string) =>
  mintWorkloadToken({ signer: workload, trustDomain, claims: { ...sandbox, tokenId, audience: party.audience } });

const valid: Record<string, string[]> = {};
beforeAll(async () => {
  const ids = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(43));
  for (const kind of kinds) valid[kind] = await Promise.all(ids.map((id) => mint(kind, id)));
  valid["federation"] = await Promise.all(ids.map(mintFederation));
});

/** Calls `judge` with mutated tokens of a kind, none of which is one that was minted. Answers how many there were. */
async function mutate(kind: string, name: string, judge: (mutated: string, sample: Sample) => Promise<void>) {
  const samples = valid[kind] ?? [];
  const all = Object.values(valid).flat();
  const minted = new Set(all);
  const change = mutations[name];
  let count = 0;
  for (let seed = 0; count < casesEach && seed < 20 * casesEach; seed++) {
    const token = samples[seed % samples.length] ?? "";
    const sample: Sample = {
      token,
      algorithm: kind === "egress" || kind === "federation" ? "ES256" : "EdDSA",
      publicKey: kind === "egress" ? ec.publicKey : kind === "federation" ? workloadKey : ed.publicKey,
      others: all,
      kids,
    };
    const mutated = change?.(sample, createDice(seed * 31 + name.length)) ?? token;
    if (minted.has(mutated)) continue;
    await judge(mutated, sample);
    count += 1;
  }
  return count;
}

describe("S0-08: of mutated valid tokens", { timeout: 300_000 }, () => {
  let total = 0;
  afterAll(() => expect(total).toBeGreaterThanOrEqual(100_000));

  describe.each(kinds)("of kind %s", (kind) => {
    it.each(Object.keys(mutations))("none is accepted: %s", async (name) => {
      const verifier = new TokenVerifier({ kind, trustDomain, keys, clock: () => now });
      for (const token of valid[kind] ?? [])
        expect(await verifier.verify(token, own)).toMatchObject({ outcome: "verified" });
      const remembered = verifier.size;
      total += await mutate(kind, name, async (mutated) => {
        const { outcome } = await verifier.verify(mutated, own);
        if (outcome === "verified") expect.fail(`accepted: ${mutated}`);
      });
      expect(verifier.size).toBe(remembered);
    });
  });

  describe("for third parties", () => {
    it.each(Object.keys(mutations))(
      "none is accepted by us, and by them none that says anything else: %s",
      async (name) => {
        const set = createLocalJWKSet(JSON.parse(jwks));
        total += await mutate("federation", name, async (mutated, { token }) => {
          for (const kind of kinds) {
            const verification = await verifyToken(kind, mutated, { keys, trustDomain, now, keyThumbprint: own });
            if (verification.outcome === "verified") expect.fail(`accepted as ${kind}: ${mutated}`);
          }
          const taken = await jwtVerify(mutated, set, { ...party, algorithms: ["ES256"] }).catch(() => undefined);
          if (taken !== undefined && !isRespelledSignature(token, mutated)) expect.fail(`accepted: ${mutated}`);
        });
      },
    );
  });
});

describe("the twin of a container token (s replaced by n - s), which has the same jti", () => {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const twinOf = (token: string) => {
    const [header, payload, text] = token.split(".");
    const signature = Buffer.from(text ?? "", "base64url");
    const s = order - BigInt(`0x${signature.toString("hex", 32)}`);
    signature.write(s.toString(16).padStart(64, "0"), 32, "hex");
    return `${header}.${payload}.${signature.toString("base64url")}`;
  };

  it("is a good signature to others", async () => {
    const token = await mintFederation("t".repeat(43));
    const set = createLocalJWKSet(JSON.parse(jwks));
    const { payload } = await jwtVerify(twinOf(token), set, party);
    expect(payload.jti).toBe("t".repeat(43));
  });

  it("is refused by us, whether the token itself is remembered or not, and is never remembered: a token has one spelling", async () => {
    const token = await mint("egress", "t".repeat(43));
    const verifier = new TokenVerifier({ kind: "egress", trustDomain, keys, clock: () => now });
    const refused = { outcome: "rejected", fault: "signature" };
    expect(await verifier.verify(twinOf(token), undefined)).toMatchObject(refused);
    expect(verifier.size).toBe(0);
    expect(await verifier.verify(token, undefined)).toMatchObject({ outcome: "verified" });
    expect(await verifier.verify(twinOf(token), undefined)).toMatchObject(refused);
    expect(verifier.size).toBe(1);
  });
});
