import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** A P-256 key pair. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Makes a P-256 key pair, in memory. */
export function createKeyPair(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/**
 * A PKCS#10 request (RFC 2986, DER) for a P-256 key, signed by it, with an empty subject and no attributes: names are the
 * authority's to give.
 */
export function createCsr({ privateKey, publicKey }: KeyPair): Uint8Array {
  const version = Buffer.from([0x02, 0x01, 0x00]);
  const emptyName = Buffer.from([0x30, 0x00]);
  const noAttributes = Buffer.from([0xa0, 0x00]);
  const info = element(0x30, version, emptyName, publicKey.export({ type: "spki", format: "der" }), noAttributes);
  const signature = sign("sha256", info, privateKey);
  return element(0x30, info, ecdsaWithSha256, element(0x03, Buffer.from([0x00]), signature));
}

/** AlgorithmIdentifier of 1.2.840.10045.4.3.2. */
const ecdsaWithSha256 = Buffer.from([0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);

function element(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(body.length)]), body]);
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  return [0x82, length >> 8, length & 0xff];
}
