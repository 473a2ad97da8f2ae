import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { keyThumbprint } from "@sandgate/pki";
import { writeWhole } from "../suite/whole-file.ts";
import { completeKeyFile, createSecretFile } from "./key-file.ts";

/** A public ES256 key as S0-01 has it. */
export interface PublicJwk {
  readonly kty: "EC";
  readonly crv: "P-256";
  /** 32 bytes, base64url without padding; `y` too. */
  readonly x: string;
  readonly y: string;
  readonly use: "sig";
  /** RFC 7638 thumbprint. */
  readonly kid: string;
}

/** What a directory of keys holds, and whether it was made now. */
export interface KeyFiles {
  readonly kid: string;
  readonly created: boolean;
}

const es256 = {
  name: "ES256",
  make: () => withPlainKid(() => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
  isRight: (key: KeyObject) => key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1",
};
const edDsa = {
  name: "EdDSA",
  make: () => withPlainKid(() => generateKeyPairSync("ed25519").privateKey),
  isRight: (key: KeyObject) => key.asymmetricKeyType === "ed25519",
};

/**
 * The ES256 key of container tokens: `egress-signing.pem`, which Auth takes for its first key where it finds it in its key directory, and
 * its public half as `egress-signing.public.pem`, `.jwk.json` and `.jwks.json`. Changes nothing that is there.
 */
export async function completeEgressKey(directory: string): Promise<KeyFiles & { readonly jwk: PublicJwk }> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const at = (suffix: string): string => join(directory, `egress-signing${suffix}`);
  const { key, created } = await completeKeyFile(at(".pem"), es256);
  const jwk = publicJwk(key);
  writeWhole(at(".public.pem"), publicPem(key), 0o600);
  writeWhole(at(".jwk.json"), `${JSON.stringify(jwk)}\n`, 0o600);
  writeWhole(at(".jwks.json"), `${JSON.stringify({ keys: [jwk] })}\n`, 0o600);
  return { kid: jwk.kid, created, jwk };
}

/**
 * A key directory for Auth, as all its replicas are given it: `signing.pem`, the first key of session tokens, with `public.pem` and `kid`;
 * the first key of container tokens; and `sealing.key`. Changes nothing that is there.
 */
export async function completeKeyDirectory(directory: string): Promise<KeyFiles> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { key, created } = await completeKeyFile(join(directory, "signing.pem"), edDsa);
  const kid = keyThumbprint(key);
  writeWhole(join(directory, "public.pem"), publicPem(key), 0o600);
  writeWhole(join(directory, "kid"), `${kid}\n`, 0o600);
  const egress = await completeEgressKey(directory);
  const sealing = await createSecretFile(join(directory, "sealing.key"), newSealingKey());
  return { kid, created: created || egress.created || sealing };
}

/** What signing keys are sealed with: 32 random bytes in base64url. */
export function newSealingKey(): string {
  return `${randomBytes(32).toString("base64url")}\n`;
}

function publicJwk(key: KeyObject): PublicJwk {
  const { x = "", y = "" } = createPublicKey(key).export({ format: "jwk" });
  return { kty: "EC", crv: "P-256", x, y, use: "sig", kid: keyThumbprint(key) };
}

function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
}

/** One whose kid begins with a letter or a digit: a command line would take a leading hyphen for an option. */
function withPlainKid(make: () => KeyObject): KeyObject {
  for (;;) {
    const key = make();
    if (/^[A-Za-z0-9]/.test(keyThumbprint(key))) return key;
  }
}
