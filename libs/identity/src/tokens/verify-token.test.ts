import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { Role } from "@sandgate/api/options";
import { CompactSign } from "jose";
import { describe, expect, it } from "vitest";
import { createKeySet, formatJwks } from "./key-set.ts";
import { mintToken } from "./mint-token.ts";
import type { TokenClaims } from "./token-claims.ts";
import type { TokenKind } from "./token-kind.ts";
import { createTokenSigner } from "./token-signer.ts";
import { type TokenVerification, verifyToken } from "./verify-token.ts";

const trustDomain = "sandgate.test";
const now = Date.parse("2026-03-01T12:00:00Z");
const seconds = now / 1000;
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const ed = generateKeyPairSync("ed25519");
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
const edSigner = createTokenSigner(ed.privateKey);
const ecSigner = createTokenSigner(ec.privateKey);
const keys = createKeySet(formatJwks([ed.publicKey, ec.publicKey]));

const keyThumbprint = "k".repeat(43);
const common = {
  organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
  tokenId: "t".repeat(43),
  issuedAtMs: now,
  expiresAtMs: now + 600_000,
};
const sandbox = { ...common, sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa", incarnation: 3n };
const claimsOf = {
  bootstrap: { kind: "bootstrap", ...sandbox },
  session: { kind: "session", ...sandbox, keyThumbprint },
  user: { kind: "user", ...common, userId: "0b8f8c0e-1111-4222-8333-444455556666", role: Role.OPERATOR },
  egress: {
    kind: "egress",
    ...sandbox,
    enforceContainerBinding: true,
    useEgressGateway: true,
    enforceCentralizedEgress: true,
    isHipaaRegulated: false,
    isPciCompliant: false,
    allowedHosts: undefined,
    audience: "egress-proxy",
    confirmation: undefined,
  },
  "exchange-permit": {
    kind: "exchange-permit",
    ...sandbox,
    expiresAtMs: now + 5_000,
    audience: "sts.example.com",
    policyRevision: 7n,
  },
} satisfies Record<TokenKind, TokenClaims>;
const kinds = ["bootstrap", "session", "user", "egress", "exchange-permit"] as const;

const mint = (claims: TokenClaims) =>
  mintToken({ signer: claims.kind === "egress" ? ecSigner : edSigner, trustDomain, claims });

const verify = (kind: TokenKind, token: string, over: { now?: number; keyThumbprint?: string } = {}) =>
  verifyToken(kind, token, { keys, trustDomain, now, keyThumbprint, ...over });

const encode = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const decode = (segment: string | undefined): Record<string, unknown> =>
  JSON.parse(Buffer.from(segment ?? "", "base64url").toString());

/** The outcome in one word, for tables. */
const wordFor = (verification: TokenVerification<unknown>) =>
  verification.outcome === "rejected" ? verification.fault : verification.outcome;

/** An egress token with other header or payload fields, properly signed with our key. */
async function forge(over: {
  header?: Record<string, unknown>;
  payload?: Record<string, unknown>;
  key?: KeyObject;
}): Promise<string> {
  const [header, payload] = (await mint(claimsOf.egress))
    .split(".")
    .map((segment, index) => (index < 2 ? decode(segment) : {}));
  const input = `${encode({ ...header, ...over.header })}.${encode({ ...payload, ...over.payload })}`;
  return `${input}.${lowS(sign("sha256", Buffer.from(input), { key: over.key ?? ec.privateKey, dsaEncoding: "ieee-p1363" })).toString("base64url")}`;
}

function lowS(signature: Buffer): Buffer {
  const s = BigInt(`0x${signature.toString("hex", 32)}`);
  return s > order / 2n ? withS(signature, order - s) : signature;
}

function withS(signature: Buffer, s: bigint): Buffer {
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, "0"), "hex")]);
}

const resign = (token: string, change: (signature: Buffer, input: Buffer) => Buffer | string) => {
  const [header, payload, signature] = token.split(".");
  const changed = change(Buffer.from(signature ?? "", "base64url"), Buffer.from(`${header}.${payload}`));
  return `${header}.${payload}.${typeof changed === "string" ? changed : changed.toString("base64url")}`;
};

describe.each(kinds)("a %s token", (kind) => {
  it("is verified with the claims that it was minted with", async () => {
    expect(await verify(kind, await mint(claimsOf[kind]))).toEqual({
      outcome: "verified",
      claims: claimsOf[kind],
      keyId: (kind === "egress" ? ecSigner : edSigner).kid,
    });
  });

  it("D-02 is no token of another kind", async () => {
    const token = await mint(claimsOf[kind]);
    for (const other of kinds.filter((candidate) => candidate !== kind))
      expect(wordFor(await verify(other, token))).toBe("not_ours");
  });

  it("G-03 falls through when another key signed it", async () => {
    const token = await mint(claimsOf[kind]);
    const others = createKeySet(formatJwks([stranger.publicKey]));
    const verification = await verifyToken(kind, token, { keys: others, trustDomain, now, keyThumbprint });
    expect(verification.outcome).toBe("not_ours");
  });

  it("expires, five seconds of skew allowed for", async () => {
    const token = await mint(claimsOf[kind]);
    const { expiresAtMs } = claimsOf[kind];
    expect(wordFor(await verify(kind, token, { now: expiresAtMs + 4_999 }))).toBe("verified");
    expect(wordFor(await verify(kind, token, { now: expiresAtMs + 5_000 }))).toBe("expired");
  });

  it("is not accepted before its time, five seconds of skew allowed for", async () => {
    const token = await mint(claimsOf[kind]);
    expect(wordFor(await verify(kind, token, { now: now - 5_000 }))).toBe("verified");
    expect(wordFor(await verify(kind, token, { now: now - 5_001 }))).toBe("claims");
  });

  it("is not accepted in another trust domain", async () => {
    const verification = await verifyToken(kind, await mint(claimsOf[kind]), {
      keys,
      trustDomain: "other.test",
      now,
      keyThumbprint,
    });
    expect(wordFor(verification)).toBe("claims");
  });

  it("is not minted for longer than its kind may live", async () => {
    await expect(mint({ ...claimsOf[kind], expiresAtMs: now + 25 * 3_600_000 })).rejects.toThrow(RangeError);
  });
});

it("G-16 a session token is refused from a certificate with another key, and from none", async () => {
  const token = await mint(claimsOf.session);
  expect(wordFor(await verify("session", token, { keyThumbprint: "x".repeat(43) }))).toBe("binding");
  const unbound = await verifyToken("session", token, { keys, trustDomain, now, keyThumbprint: undefined });
  expect(wordFor(unbound)).toBe("binding");
});

it("mints the same EdDSA token from the same claims", async () => {
  expect(await mint(claimsOf.session)).toBe(await mint(claimsOf.session));
});

it("S0-02, S0-03, S1-03, D-03 an egress token says what others expect of one", async () => {
  const [header, payload] = (await mint(claimsOf.egress)).split(".");
  expect(decode(header)).toEqual({ typ: "JWT", alg: "ES256", kid: ecSigner.kid });
  expect(decode(payload)).toEqual({
    iss: "https://auth.sandgate.test",
    aud: "egress-proxy",
    sub: "spiffe://sandgate.test/sandbox/sbx-aaaaaaaaaaaaaaaaaaaa",
    iat: seconds,
    nbf: seconds,
    exp: seconds + 600,
    jti: common.tokenId,
    container_id: "sbx-aaaaaaaaaaaaaaaaaaaa",
    organization_uuid: common.organizationId,
    incarnation: 3,
    enforce_container_binding: "true",
    use_egress_gateway: "true",
    enforce_centralized_egress: "true",
    is_hipaa_regulated: "false",
    is_pci_compliant: "false",
  });
});

it("S0-08 every changed character is noticed", async () => {
  const token = await mint(claimsOf.egress);
  for (let index = 0; index < token.length; index += 7) {
    const changed = token.slice(0, index) + (token[index] === "A" ? "B" : "A") + token.slice(index + 1);
    expect((await verify("egress", changed)).outcome).not.toBe("verified");
  }
});

it("S0-03, D-02, G-16 a container token counts at the relying party that it is for alone", async () => {
  const token = await mint({ ...claimsOf.egress, audience: "sandbox-api" });
  const at = (audience?: string) => verifyToken("egress", token, { keys, trustDomain, now, keyThumbprint, audience });
  expect(await at("sandbox-api")).toMatchObject({ outcome: "verified", claims: { audience: "sandbox-api" } });
  expect(await at()).toMatchObject({ fault: "claims", detail: "another audience" });
  expect(await at("sandbox-api-2")).toMatchObject({ fault: "claims", detail: "another audience" });
});

describe("D-07 a container token with a confirmation", () => {
  const certificateSha256 = "c".repeat(43);
  const key = { kind: "key", thumbprint: keyThumbprint } as const;
  const certificate = { kind: "certificate", sha256: certificateSha256 } as const;
  it.each([
    ["a key, from that key", key, { keyThumbprint }, "verified"],
    ["a key, from another", key, { keyThumbprint: "x".repeat(43) }, "binding"],
    ["a key, without a certificate", key, { keyThumbprint: undefined }, "binding"],
    [
      "a key, where a certificate has that hash",
      key,
      { keyThumbprint: undefined, certificateSha256: keyThumbprint },
      "binding",
    ],
    ["a certificate, from it", certificate, { keyThumbprint, certificateSha256 }, "verified"],
    ["a certificate, from another", certificate, { keyThumbprint, certificateSha256: "x".repeat(43) }, "binding"],
    ["a certificate, without one", certificate, { keyThumbprint: certificateSha256 }, "binding"],
  ])("%s", async (_name, confirmation, proof, word) => {
    const token = await mint({ ...claimsOf.egress, confirmation });
    expect(wordFor(await verifyToken("egress", token, { keys, trustDomain, now, ...proof }))).toBe(word);
  });
});

it.each([
  ["a comma", "a.example.test,*"],
  ["a star", "*"],
  ["upper case", "A.example.test"],
  ["a space", " a.example.test"],
  ["nothing", ""],
])("D-09 mints no token with a host that holds %s", async (_name, host) => {
  await expect(mint({ ...claimsOf.egress, allowedHosts: [host] })).rejects.toThrow(TypeError);
});

it("S0-07 says which check failed, and nothing of the token", async () => {
  const verification = await verify("egress", await forge({ payload: { organization_uuid: "user_123" } }));
  expect(verification).toEqual({ outcome: "rejected", fault: "claims", detail: "a claim is missing or malformed" });
});

describe("an egress token with a bad header", () => {
  it.each([
    ["I05 alg none", { alg: "none" }, "algorithm"],
    ["I05 alg None", { alg: "None" }, "algorithm"],
    ["I07 alg RS256", { alg: "RS256" }, "algorithm"],
    ["I07 alg ES384", { alg: "ES384" }, "algorithm"],
    ["I07 alg HS256", { alg: "HS256" }, "algorithm"],
    ["I07 alg EdDSA", { alg: "EdDSA" }, "algorithm"],
    ["I07 the kid of our Ed25519 key", { kid: edSigner.kid }, "algorithm"],
    ["I08 an unknown kid", { kid: "x".repeat(43) }, "not_ours"],
    ["I08 a path for a kid", { kid: "../../dev/null" }, "not_ours"],
    ["I08 a kid of 5 KiB", { kid: "k".repeat(5 * 1024) }, "not_ours"],
    ["I08 a kid of 10 KiB", { kid: "k".repeat(10 * 1024) }, "malformed"],
    ["I08 a kid that is a number", { kid: 7 }, "not_ours"],
    ["I08 a kid from the prototype", { kid: "__proto__" }, "not_ours"],
    ["I13 a nested token", { cty: "JWT" }, "malformed"],
    ["an unknown type", { typ: "at+jwt" }, "malformed"],
    ["a critical extension", { crit: ["b64"], b64: false }, "malformed"],
    ["a key of its own", { jwk: stranger.publicKey.export({ format: "jwk" }) }, "malformed"],
    ["a key's address of its own", { jku: "https://evil.test/jwks.json" }, "malformed"],
  ])("%s", async (_name, header, word) => {
    expect(wordFor(await verify("egress", await forge({ header })))).toBe(word);
  });
});

describe("an egress token with a bad claim", () => {
  it.each([
    ["I10 exp past", { iat: seconds - 100, nbf: seconds - 100, exp: seconds - 6 }, "expired"],
    ["I10 exp as text", { exp: String(seconds + 60) }, "claims"],
    ["I10 no exp", { exp: undefined }, "claims"],
    ["I10 exp 1e300", { exp: 1e300 }, "claims"],
    ["I10 exp null", { exp: null }, "claims"],
    ["I10 exp with a fraction", { exp: seconds + 60.5 }, "claims"],
    ["I10 exp negative", { exp: -1 }, "claims"],
    ["I10 exp before iat", { exp: seconds - 1 }, "claims"],
    ["D-04 a life over four hours", { exp: seconds + 4 * 3600 + 1 }, "claims"],
    ["I11 nbf in the future", { nbf: seconds + 6 }, "claims"],
    ["I11 iat in the future", { iat: seconds + 6 }, "claims"],
    ["D-04 no iat", { iat: undefined }, "claims"],
    ["D-04 no nbf", { nbf: undefined }, "claims"],
    ["D-04 no jti", { jti: undefined }, "claims"],
    ["D-04 no sub", { sub: undefined }, "claims"],
    ["D-04 no iss", { iss: undefined }, "claims"],
    ["D-01 another iss", { iss: "your-service-egress-control" }, "claims"],
    ["D-02 no aud", { aud: undefined }, "claims"],
    ["D-02 another aud", { aud: "sandbox-api" }, "claims"],
    ["D-02 aud as a list", { aud: ["egress-proxy"] }, "claims"],
    ["another sandbox's sub", { sub: "spiffe://sandgate.test/sandbox/sbx-bbbbbbbbbbbbbbbbbbbb" }, "claims"],
    ["a sub of another kind", { sub: "spiffe://sandgate.test/user/sbx-aaaaaaaaaaaaaaaaaaaa" }, "claims"],
    ["a container_id that is none", { container_id: "../sbx-aaaaaaaaaaaaaaaaaaaa" }, "claims"],
    ["D-05 an organization that is no UUID", { organization_uuid: "user_123" }, "claims"],
    ["no incarnation", { incarnation: undefined }, "claims"],
    ["an incarnation of 0", { incarnation: 0 }, "claims"],
    ['D-06 a flag "True"', { enforce_container_binding: "True" }, "claims"],
    ["D-06 a flag 1", { enforce_container_binding: 1 }, "claims"],
    ["D-06 a flag null", { use_egress_gateway: null }, "claims"],
    ["I16 hosts as an array", { allowed_hosts: ["*"] }, "claims"],
    ["D-07 a confirmation of another kind", { cnf: { jwk: {} } }, "claims"],
    ["D-07 a confirmation with two members", { cnf: { jkt: "k".repeat(43), "x5t#S256": "k".repeat(43) } }, "claims"],
    ["D-07 an empty confirmation", { cnf: {} }, "claims"],
    ["D-07 a confirmation that is text", { cnf: "k".repeat(43) }, "claims"],
    ["D-07 no confirmation, but null", { cnf: null }, "claims"],
  ])("%s", async (_name, payload, word) => {
    expect(wordFor(await verify("egress", await forge({ payload })))).toBe(word);
  });

  it.each([
    ["true", true],
    [true, true],
    ["false", false],
    [false, false],
    [undefined, true],
  ])("D-06 reads a binding flag of %j as %j", async (flag, expected) => {
    const verification = await verify("egress", await forge({ payload: { enforce_container_binding: flag } }));
    expect(verification).toMatchObject({ outcome: "verified", claims: { enforceContainerBinding: expected } });
  });

  it("gives the hosts that narrow the policy", async () => {
    const verification = await verify(
      "egress",
      await forge({ payload: { allowed_hosts: "a.example.test,b.example.test" } }),
    );
    expect(verification).toMatchObject({ claims: { allowedHosts: ["a.example.test", "b.example.test"] } });
  });
});

describe("an egress token with a bad signature", () => {
  it.each<[string, (signature: Buffer, input: Buffer) => Buffer | string]>([
    ["I05 empty", () => ""],
    [
      "another key's",
      (_signature, input) => lowS(sign("sha256", input, { key: stranger.privateKey, dsaEncoding: "ieee-p1363" })),
    ],
    [
      "I07 an HMAC with the public key",
      (_signature, input) =>
        createHmac("sha512", ec.publicKey.export({ type: "spki", format: "pem" }))
          .update(input)
          .digest(),
    ],
    ["I14 in DER", (_signature, input) => sign("sha256", input, ec.privateKey)],
    ["I14 with the high s", (signature) => withS(signature, order - BigInt(`0x${signature.toString("hex", 32)}`))],
    ["I14 of zeros", () => Buffer.alloc(64)],
    ["I14 with s zero", (signature) => withS(signature, 0n)],
    ["I14 with r and s the order", () => Buffer.from(order.toString(16).repeat(2), "hex")],
    ["cut", (signature) => signature.subarray(0, 63)],
    ["longer", (signature) => Buffer.concat([signature, Buffer.alloc(1)])],
  ])("%s", async (_name, change) => {
    expect(wordFor(await verify("egress", resign(await mint(claimsOf.egress), change)))).toBe("signature");
  });

  it("spelled with spare bits set", async () => {
    const token = await mint(claimsOf.egress);
    const last = token.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const respelled = token.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1];
    expect(wordFor(await verify("egress", respelled))).toBe("signature");
  });
});

describe("a text that is no token of ours", () => {
  it.each([
    ["empty", "", "not_ours"],
    ["opaque", "ghp_0123456789", "not_ours"],
    ["I13 20 KiB", "a".repeat(20 * 1024), "malformed"],
    ["I13 1,000,000 dots", ".".repeat(1_000_000), "malformed"],
    ["I13 five parts", "a.b.c.d.e", "not_ours"],
    ["a header that is no JSON", `${encode("{")}.e30.AA`, "not_ours"],
    ["a header that is a list", `${encode([])}.e30.AA`, "not_ours"],
    ["padding", `${encode({ kid: ecSigner.kid })}=.e30.AA`, "not_ours"],
    ["a line break", `${encode({ kid: ecSigner.kid })}.e30.AA\n`, "not_ours"],
    ["UTF-16 beyond Latin-1", "\u{1f600}.e30.AA", "not_ours"],
  ])("%s", async (_name, token, word) => {
    expect(wordFor(await verify("egress", token))).toBe(word);
  });

  it.each(["[]", "null", "7", '"x"', "{"])("our signature over %s", async (payload) => {
    const token = await new CompactSign(Buffer.from(payload))
      .setProtectedHeader({ typ: "sandgate-user+jwt", alg: "EdDSA", kid: edSigner.kid })
      .sign(ed.privateKey);
    expect(wordFor(await verify("user", token))).toBe("malformed");
  });
});
