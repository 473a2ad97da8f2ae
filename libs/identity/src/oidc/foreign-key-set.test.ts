import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readForeignKeySet } from "./foreign-key-set.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ec = p256.publicKey.export({ format: "jwk" });
const ed = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
const pinned = ["RS256", "PS256", "ES256", "ES384", "EdDSA"] as const;

const algorithmsOf = (jwk: object) => {
  const keys = readForeignKeySet({ keys: [{ kid: "other", ...rsa }, jwk] }, pinned);
  return [...(keys.get("k")?.algorithms ?? [])];
};

describe("G-04: the keys of a provider", () => {
  it.each([
    ["an RSA key", { kid: "k", ...rsa }, ["RS256", "PS256"]],
    ["an RSA key for one algorithm", { kid: "k", alg: "PS256", use: "sig", ...rsa }, ["PS256"]],
    ["a P-256 key", { kid: "k", key_ops: ["verify"], ...ec }, ["ES256"]],
    ["an Ed25519 key", { kid: "k", alg: "EdDSA", ...ed }, ["EdDSA"]],
    ["an Ed25519 key by the new name", { kid: "k", alg: "Ed25519", ...ed }, ["EdDSA"]],
  ])("takes %s for what it can verify", (_, jwk, algorithms) => {
    expect(algorithmsOf(jwk)).toEqual(algorithms);
  });

  it.each([
    ["below 2048 bits", { kid: "k", ...weak }],
    ["for encryption", { kid: "k", use: "enc", ...rsa }],
    ["with other operations", { kid: "k", key_ops: ["encrypt"], ...rsa }],
    ["of an algorithm that is not configured", { kid: "k", alg: "RS512", ...rsa }],
    ["that says it is of another kind", { kid: "k", alg: "HS256", ...rsa }],
    ["that is private", { kid: "k", ...p256.privateKey.export({ format: "jwk" }) }],
    ["that is symmetric", { kid: "k", kty: "oct", k: "c2VjcmV0" }],
    ["of an unknown curve", { kid: "k", kty: "EC", crv: "P-1", x: "AA", y: "AA" }],
    ["without a kid", { ...rsa }],
    ["that is no object", 7 as unknown as object],
  ])("leaves out a key %s", (_, jwk) => {
    expect(algorithmsOf(jwk)).toEqual([]);
  });

  it("keeps the first of two keys with one kid", () => {
    const keys = readForeignKeySet(
      {
        keys: [
          { kid: "k", ...ec },
          { kid: "k", ...ed },
        ],
      },
      pinned,
    );
    expect([...(keys.get("k")?.algorithms ?? [])]).toEqual(["ES256"]);
  });

  it.each([
    ["no object", undefined],
    ["no list", { keys: {} }],
    ["an empty list", { keys: [] }],
    ["only keys that are of no use", { keys: [{ kid: "k", ...weak }] }],
    ["more than a hundred keys", { keys: Array.from({ length: 101 }, (_, kid) => ({ kid: `${kid}`, ...ec })) }],
  ])("refuses %s", (_, jwks) => {
    expect(() => readForeignKeySet(jwks, pinned)).toThrow(Error);
  });
});
