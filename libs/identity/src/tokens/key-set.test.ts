import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createKeySet, formatJwks } from "./key-set.ts";
import { createTokenSigner } from "./token-signer.ts";

const ed = generateKeyPairSync("ed25519");
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });

it("S0-01 reads back the set that formatJwks wrote", () => {
  const json = formatJwks([ed.publicKey, ec.publicKey]);
  const keys = createKeySet(json);
  expect(keys.find(createTokenSigner(ed.privateKey).kid)?.algorithm).toBe("EdDSA");
  expect(keys.find(createTokenSigner(ec.privateKey).kid)?.algorithm).toBe("ES256");
  const [, jwk] = JSON.parse(json).keys;
  expect(jwk).toMatchObject({ kty: "EC", crv: "P-256", use: "sig", alg: "ES256" });
  expect(jwk.x).toMatch(/^[\w-]{43}$/);
  expect(jwk.y).toMatch(/^[\w-]{43}$/);
});

it("leaves out keys of other types", () => {
  const rsa = { ...generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" }), kid: "r" };
  expect(createKeySet(JSON.stringify({ keys: [rsa] })).find("r")).toBeUndefined();
});

describe("refuses", () => {
  it.each([
    ["no JSON", "{"],
    ["no set", "[]"],
    ["no keys", "{}"],
    ["more than a hundred keys", JSON.stringify({ keys: Array(101).fill({}) })],
    ["a key that is none", '{"keys":[7]}'],
    ["a private key", JSON.stringify({ keys: [ed.privateKey.export({ format: "jwk" })] })],
    ["a kid of its own choice", JSON.stringify({ keys: [{ ...ed.publicKey.export({ format: "jwk" }), kid: "k" }] })],
  ])("%s", (_name, json) => {
    expect(() => createKeySet(json)).toThrow(TypeError);
  });
});
