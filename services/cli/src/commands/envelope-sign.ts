import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, randomUUID } from "node:crypto";
import { isIP } from "node:net";
import { readSecretFile } from "@sandgate/config";
import { keyThumbprint } from "@sandgate/pki";
import { SignJWT } from "jose";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";

/** Options of `sandgate envelope sign`. */
export interface SignEnvelopeTokenOptions {
  readonly key: string;
  readonly issuer: string;
  readonly machine: string;
  readonly subject: string;
  readonly clientAddress?: string;
  readonly kid?: string;
  readonly life: number;
}

/** `sandgate envelope sign`: a token for the access envelope, as its issuer makes them. With --json also the public key, for the envelope's `key_files`. */
export async function signEnvelopeToken(
  { output }: CommandContext,
  options: SignEnvelopeTokenOptions,
): Promise<number> {
  const { clientAddress } = options;
  if (clientAddress !== undefined && isIP(clientAddress) === 0) throw usageFailure("--client-address is no IP address");
  if (options.life < 1_000) throw usageFailure("a token lives for a second at least", "--life 60s");
  const { key, kid: ownKid } = readKey(options.key);
  const algorithm = algorithmOf(key);
  const kid = options.kid ?? ownKid ?? keyThumbprint(key);
  const now = Math.floor(Date.now() / 1000);
  const expiresAt = now + Math.floor(options.life / 1000);
  const token = await new SignJWT({
    jti: randomUUID(),
    ...(clientAddress !== undefined && { client_ip: clientAddress }),
  })
    .setProtectedHeader({ alg: algorithm, kid })
    .setIssuer(options.issuer)
    .setSubject(options.subject)
    .setAudience(options.machine)
    .setIssuedAt(now)
    .setExpirationTime(expiresAt)
    .sign(key);
  output.document({
    token,
    expireTime: new Date(expiresAt * 1000).toISOString(),
    publicKey: { ...createPublicKey(key).export({ format: "jwk" }), kid, alg: algorithm, use: "sig" },
  });
  output.line(token);
  return exitCodes.ok;
}

function readKey(path: string): { readonly key: KeyObject; readonly kid: string | undefined } {
  const text = readSecretFile(path).reveal();
  try {
    if (text.trimStart().startsWith("-----BEGIN")) return { key: createPrivateKey(text), kid: undefined };
    const jwk = JSON.parse(text) as JsonWebKey; // createPrivateKey judges it
    return {
      key: createPrivateKey({ key: jwk, format: "jwk" }),
      kid: typeof jwk["kid"] === "string" ? jwk["kid"] : undefined,
    };
  } catch {
    throw usageFailure(`${path} holds no private key, neither a JWK nor PEM without a passphrase`); // the error may tell of the key
  }
}

function algorithmOf({
  asymmetricKeyType: type,
  asymmetricKeyDetails: details,
}: KeyObject): "EdDSA" | "ES256" | "RS256" {
  if (type === "ed25519") return "EdDSA";
  if (type === "ec" && details?.namedCurve === "prime256v1") return "ES256";
  if (type === "rsa" && (details?.modulusLength ?? 0) >= 2048) return "RS256";
  throw usageFailure("the key signs neither EdDSA (Ed25519), ES256 (P-256) nor RS256 (2048 bits and more)");
}
