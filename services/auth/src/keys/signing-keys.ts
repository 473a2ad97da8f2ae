import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AuditLog } from "@sandgate/audit";
import { readSecretFile } from "@sandgate/config";
import { createTokenSigner, formatJwks, type TokenAlgorithm, type TokenSigner, tokenRules } from "@sandgate/identity";
import type { Pool } from "@sandgate/postgres";
import { currentKey, isPublished, type SigningKeyRecord } from "../domain/signing-key.ts";
import { hasSigningKeys, PostgresSigningKeyStore } from "../store/postgres-signing-key-store.ts";
import type { KeyActor, NewSigningKey, SigningKeyStore } from "../store/signing-key-store.ts";
import { type KeySealer, loadKeySealer, SigningKeysError } from "./key-sealer.ts";

/** Replicas whose clocks differ, and what was under way when a key stopped signing. */
const ALLOWANCE_MS = 5 * 60_000;

/** The keys that our tokens are signed with. */
export interface SigningKeys {
  /** What new tokens of an algorithm are signed with. */
  current(algorithm: TokenAlgorithm): TokenSigner;
  /** A signer that we hold, by kid: the current one, the next or a previous one. */
  find(kid: string): TokenSigner | undefined;
  /** The published public keys, as a JWK set. */
  readonly jwksJson: string;
}

/** The algorithms that we sign with, and the files that their first keys may come in. */
const firstKeyFiles: Readonly<Record<TokenAlgorithm, string>> = {
  EdDSA: "signing.pem",
  ES256: "egress-signing.pem",
};

/** The algorithms that we sign with. */
export const signingAlgorithms = Object.keys(firstKeyFiles) as readonly TokenAlgorithm[]; // the record above has exactly these keys

/** How signing keys change with time. */
export interface KeyRotation {
  /** A new key signs after so long; 0: only when an operator says so. */
  readonly maxAgeMs: number;
  /** A key is published at least so long before it signs. */
  readonly publishMs: number;
}

/**
 * The signing keys as this replica knows them: read from the store when it starts, and whenever the change log of trust says that they
 * have changed. Which of them signs follows from the clock.
 */
export class SigningKeyRing implements SigningKeys {
  readonly store: SigningKeyStore;
  readonly #directory: string;
  readonly #sealer: KeySealer;
  readonly #maxAgeMs: number;
  readonly #clock: () => number;
  #records: readonly SigningKeyRecord[] = [];
  #signers = new Map<string, TokenSigner>();
  #jwksJson = formatJwks([]);
  #loading: Promise<void> = Promise.resolve();

  constructor(deps: {
    readonly store: SigningKeyStore;
    readonly directory: string;
    readonly sealer: KeySealer;
    readonly maxAgeMs: number;
    readonly clock: () => number;
  }) {
    this.store = deps.store;
    this.#directory = deps.directory;
    this.#sealer = deps.sealer;
    this.#maxAgeMs = deps.maxAgeMs;
    this.#clock = deps.clock;
  }

  get jwksJson(): string {
    return this.#jwksJson;
  }

  /** Every key that there is or was. */
  get records(): readonly SigningKeyRecord[] {
    return this.#records;
  }

  current(algorithm: TokenAlgorithm): TokenSigner {
    const record = currentKey(this.#records, algorithm, this.#clock());
    const signer = record && this.#signers.get(record.kid);
    if (signer === undefined) throw new TypeError("no key for this algorithm");
    return signer;
  }

  find(kid: string): TokenSigner | undefined {
    return this.#signers.get(kid);
  }

  /**
   * Sees to it that there are keys, and reads them. The first key of an algorithm is that of the directory's file (`signing.pem` for EdDSA,
   * `egress-signing.pem` for ES256: PKCS#8, mode 0600), where there is one. Throws SigningKeysError for a file or a sealed key that is none.
   */
  async start(actor: KeyActor): Promise<void> {
    await this.store.ensure(
      signingAlgorithms.map((algorithm) => ({ algorithm, first: this.#readFirst(algorithm) })),
      this.#clock(),
      actor,
    );
    await this.load();
  }

  /** Reads the keys again. What is known afterwards is at least what the store had when it was called. */
  load(): Promise<void> {
    const loading = this.#loading.then(() => this.#read()); // one after the other: an older reading must not come last
    this.#loading = loading.catch(() => undefined);
    return loading;
  }

  async #read(): Promise<void> {
    const records = await this.store.list();
    const published = records.filter(isPublished);
    const signers = new Map<string, TokenSigner>();
    for (const { kid, sealedKey } of published) {
      if (sealedKey === undefined) continue;
      signers.set(kid, this.#signers.get(kid) ?? createTokenSigner(this.#sealer.open(kid, sealedKey)));
    }
    this.#jwksJson = formatJwks(
      published.map(({ publicKeyDer }) =>
        createPublicKey({ key: Buffer.from(publicKeyDer), format: "der", type: "spki" }),
      ),
    );
    this.#signers = signers;
    this.#records = records;
  }

  /** What time asks for: rotates keys that have signed for long enough, and retires those of which nothing can be valid. */
  async maintain(actor: KeyActor): Promise<void> {
    const now = this.#clock();
    if (this.#maxAgeMs > 0)
      await this.store.rotate({ algorithms: signingAlgorithms, minimumAgeMs: this.#maxAgeMs }, now, actor);
    await this.store.retire(now, actor);
  }

  #readFirst(algorithm: TokenAlgorithm): NewSigningKey | undefined {
    const file = join(this.#directory, firstKeyFiles[algorithm]);
    if (!existsSync(file)) return undefined;
    const pem = readSecretFile(file).reveal();
    try {
      const key = sealKey(this.#sealer, createPrivateKey(pem));
      if (key.algorithm === algorithm) return key;
    } catch (cause) {
      throw new SigningKeysError(`${file}: not a private key that can sign tokens`, { cause });
    }
    throw new SigningKeysError(`${file}: not a private key for ${algorithm}`);
  }
}

/**
 * The signing keys of a database, sealed with the key of a directory, which is made with it. `start` must have run before they are used.
 * Throws SigningKeysError or ConfigError for a directory that cannot be used.
 */
export async function openSigningKeys(options: {
  readonly pool: Pool;
  readonly audit: Pick<AuditLog, "append">;
  readonly directory: string;
  readonly rotation: KeyRotation;
  readonly aroundStore?: ((store: SigningKeyStore) => SigningKeyStore) | undefined;
  readonly clock: () => number;
}): Promise<SigningKeyRing> {
  const { pool, audit, directory, rotation, clock } = options;
  const sealer = await loadKeySealer(directory, { mayMake: !(await hasSigningKeys(pool)) });
  const own = new PostgresSigningKeyStore({
    pool,
    audit,
    newKey: (algorithm) => sealKey(sealer, newPrivateKey(algorithm)),
    publishMs: rotation.publishMs,
    longestLifeMs,
  });
  const store = options.aroundStore?.(own) ?? own;
  return new SigningKeyRing({ store, directory, sealer, maxAgeMs: rotation.maxAgeMs, clock });
}

/** No token of the algorithm is accepted for longer after it was signed. */
function longestLifeMs(algorithm: string): number {
  const rules = Object.values(tokenRules).filter((rule) => rule.algorithm === algorithm);
  return Math.max(...rules.map(({ maxLifeMs }) => maxLifeMs)) + ALLOWANCE_MS;
}

function newPrivateKey(algorithm: string): KeyObject {
  switch (algorithm) {
    case "EdDSA":
      return generateKeyPairSync("ed25519").privateKey;
    case "ES256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    default:
      throw new TypeError("an algorithm that we do not sign with");
  }
}

function sealKey(sealer: KeySealer, privateKey: KeyObject): NewSigningKey {
  const { kid, algorithm } = createTokenSigner(privateKey);
  return {
    kid,
    algorithm,
    publicKeyDer: createPublicKey(privateKey).export({ format: "der", type: "spki" }),
    sealedKey: sealer.seal(kid, privateKey),
  };
}
