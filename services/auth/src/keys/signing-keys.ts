import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import { chmod, link, mkdir, readFile, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createTokenSigner, formatJwks, type TokenAlgorithm, type TokenSigner } from "@sandgate/identity";

/** A key directory that cannot be used; programs print it and exit with 2. */
export class SigningKeysError extends Error {
  override readonly name = "SigningKeysError";
  readonly exitCode = 2;
}

/** The keys that our tokens are signed with. */
export interface SigningKeys {
  /** What new tokens of an algorithm are signed with. */
  current(algorithm: TokenAlgorithm): TokenSigner;
  /** A signer that we hold, by kid: the current one, the next or the previous. */
  find(kid: string): TokenSigner | undefined;
  /** The public keys of all slots, as a JWK set. */
  readonly jwksJson: string;
}

const algorithms: readonly TokenAlgorithm[] = ["EdDSA", "ES256"];
const slots = ["current", "next", "previous"] as const;

/**
 * Loads the signing keys of a directory, and makes those that tokens are signed with if they are not there yet. Files, PKCS#8 PEM,
 * mode 0600: `eddsa.current.pem`, `es256.current.pem`, and where they exist `<algorithm>.next.pem`, published but not signed with,
 * and `<algorithm>.previous.pem`, signed with no more. Replicas that share a directory and start together agree on the first key.
 * Throws SigningKeysError for a file that others can read, or that is not a private key of its algorithm.
 */
export async function loadSigningKeys(directory: string): Promise<SigningKeys> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const current = new Map<TokenAlgorithm, TokenSigner>();
  const signers = new Map<string, TokenSigner>();
  const publicKeys: KeyObject[] = [];
  for (const algorithm of algorithms)
    for (const slot of slots) {
      const file = join(directory, `${algorithm.toLowerCase()}.${slot}.pem`);
      const key = (await readKey(file, algorithm)) ?? (slot === "current" ? await makeKey(file, algorithm) : undefined);
      if (key === undefined) continue;
      const signer = createTokenSigner(key);
      if (slot === "current") current.set(algorithm, signer);
      if (signers.has(signer.kid)) throw new SigningKeysError(`${file}: the same key as in another file`);
      signers.set(signer.kid, signer);
      publicKeys.push(createPublicKey(key));
    }
  return {
    current: (algorithm) => {
      const signer = current.get(algorithm);
      if (signer === undefined) throw new TypeError("no key for this algorithm");
      return signer;
    },
    find: (kid) => signers.get(kid),
    jwksJson: formatJwks(publicKeys),
  };
}

async function readKey(file: string, algorithm: TokenAlgorithm): Promise<KeyObject | undefined> {
  let pem: string;
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) throw new SigningKeysError(`${file}: others can read it: use mode 0600`);
    pem = await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof SigningKeysError) throw cause;
    if (codeOf(cause) === "ENOENT") return undefined;
    throw new SigningKeysError(`${file}: cannot be read`, { cause });
  }
  try {
    const key = createPrivateKey(pem);
    if (createTokenSigner(key).algorithm === algorithm) return key;
  } catch (cause) {
    throw new SigningKeysError(`${file}: not a private key that can sign tokens`, { cause });
  }
  throw new SigningKeysError(`${file}: not a private key for ${algorithm}`);
}

/** Writes a new key whole under another name and links it: whoever links first has made it, everybody else reads that one. */
async function makeKey(file: string, algorithm: TokenAlgorithm): Promise<KeyObject | undefined> {
  const { privateKey } =
    algorithm === "EdDSA" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const temporary = `${file}.${randomUUID()}`;
  try {
    await writeFile(temporary, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flag: "wx" });
    await chmod(temporary, 0o600);
    await link(temporary, file);
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw new SigningKeysError(`${file}: cannot be written`, { cause });
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  return readKey(file, algorithm);
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
