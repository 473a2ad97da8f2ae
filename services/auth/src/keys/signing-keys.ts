import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AuditLog } from "@sandgate/audit";
import { readSecretFile } from "@sandgate/config";
import {
  createTokenSigner,
  createWorkloadSigner,
  formatJwks,
  MAX_WORKLOAD_TOKEN_LIFE_MS,
  type TokenAlgorithm,
  type TokenSigner,
  tokenRules,
  type WorkloadAlgorithm,
  type WorkloadSigner,
} from "@sandgate/identity";
import { keyThumbprint } from "@sandgate/pki";
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
  /** The published public keys of tokens that we ourselves take, as a JWK set: what our verifiers are told. */
  readonly jwksJson: string;
  /**
   * What new tokens for third parties are signed with. Those keys sign nothing else, and no verifier of ours is told of them: none can
   * take such a token, whatever it says.
   */
  currentWorkload(): WorkloadSigner;
  /** All published public keys, as a JWK set: what relying parties are told. */
  readonly publishedJwksJson: string;
}

/** What a key is for: an algorithm of our own tokens, or of tokens for third parties. The store calls it the algorithm. */
type KeyUse = TokenAlgorithm | `workload-${WorkloadAlgorithm}`;

/** The files that the first keys of our own tokens may come in. */
const firstKeyFiles: ReadonlyMap<string, string> = new Map([
  ["EdDSA", "signing.pem"],
  ["ES256", "egress-signing.pem"],
]);

/** What keys are for where tokens for third parties are signed with this algorithm. */
function keyUses(workloadAlgorithm: WorkloadAlgorithm): readonly KeyUse[] {
  return ["EdDSA", "ES256", `workload-${workloadAlgorithm}`];
}

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
  readonly #workloadAlgorithm: WorkloadAlgorithm;
  readonly #clock: () => number;
  #records: readonly SigningKeyRecord[] = [];
  #signers = new Map<string, TokenSigner>();
  #workloadSigners = new Map<string, WorkloadSigner>();
  #jwksJson = formatJwks([]);
  #publishedJwksJson = formatJwks([]);
  #loading: Promise<void> = Promise.resolve();

  constructor(deps: {
    readonly store: SigningKeyStore;
    readonly directory: string;
    readonly sealer: KeySealer;
    readonly maxAgeMs: number;
    readonly workloadAlgorithm: WorkloadAlgorithm;
    readonly clock: () => number;
  }) {
    this.store = deps.store;
    this.#directory = deps.directory;
    this.#sealer = deps.sealer;
    this.#maxAgeMs = deps.maxAgeMs;
    this.#workloadAlgorithm = deps.workloadAlgorithm;
    this.#clock = deps.clock;
  }

  get jwksJson(): string {
    return this.#jwksJson;
  }

  get publishedJwksJson(): string {
    return this.#publishedJwksJson;
  }

  /** What keys are for here, as the store calls it. */
  get algorithms(): readonly string[] {
    return keyUses(this.#workloadAlgorithm);
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

  currentWorkload(): WorkloadSigner {
    const record = currentKey(this.#records, `workload-${this.#workloadAlgorithm}`, this.#clock());
    const signer = record && this.#workloadSigners.get(record.kid);
    if (signer === undefined) throw new TypeError("no key for tokens for third parties");
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
      this.algorithms.map((algorithm) => ({ algorithm, first: this.#readFirst(algorithm) })),
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
    const workloadSigners = new Map<string, WorkloadSigner>();
    for (const { kid, algorithm, sealedKey } of published) {
      if (sealedKey === undefined) continue;
      const open = () => this.#sealer.open(kid, sealedKey);
      if (isForThirdParties(algorithm))
        workloadSigners.set(kid, this.#workloadSigners.get(kid) ?? createWorkloadSigner(open()));
      else signers.set(kid, this.#signers.get(kid) ?? createTokenSigner(open()));
    }
    this.#jwksJson = jwksOf(published.filter(({ algorithm }) => !isForThirdParties(algorithm)));
    this.#publishedJwksJson = jwksOf(published);
    this.#signers = signers;
    this.#workloadSigners = workloadSigners;
    this.#records = records;
  }

  /** Seals the keys in the database with the directory's newest sealing key. Answers how many there are. */
  reseal(actor: KeyActor): Promise<number> {
    return this.store.reseal((kid, sealed) => this.#sealer.seal(kid, this.#sealer.open(kid, sealed)), actor);
  }

  /** What time asks for: rotates keys that have signed for long enough, and retires those of which nothing can be valid. */
  async maintain(actor: KeyActor): Promise<void> {
    const now = this.#clock();
    if (this.#maxAgeMs > 0)
      await this.store.rotate({ algorithms: this.algorithms, minimumAgeMs: this.#maxAgeMs }, now, actor);
    await this.store.retire(now, actor);
  }

  #readFirst(algorithm: string): NewSigningKey | undefined {
    const name = firstKeyFiles.get(algorithm);
    if (name === undefined || !existsSync(join(this.#directory, name))) return undefined;
    const file = join(this.#directory, name);
    const pem = readSecretFile(file).reveal();
    try {
      const key = createPrivateKey(pem);
      if (createTokenSigner(key).algorithm === algorithm) return sealKey(this.#sealer, algorithm, key);
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
  /** What tokens for third parties are signed with. */
  readonly workloadAlgorithm: WorkloadAlgorithm;
  readonly aroundStore?: ((store: SigningKeyStore) => SigningKeyStore) | undefined;
  readonly clock: () => number;
}): Promise<SigningKeyRing> {
  const { pool, audit, directory, rotation, workloadAlgorithm, clock } = options;
  const sealer = await loadKeySealer(directory, { mayMake: !(await hasSigningKeys(pool)) });
  const own = new PostgresSigningKeyStore({
    pool,
    audit,
    newKey: (algorithm) => sealKey(sealer, algorithm, newPrivateKey(algorithm)),
    publishMs: rotation.publishMs,
    longestLifeMs,
  });
  const store = options.aroundStore?.(own) ?? own;
  return new SigningKeyRing({ store, directory, sealer, maxAgeMs: rotation.maxAgeMs, workloadAlgorithm, clock });
}

/** No token of the algorithm is accepted for longer after it was signed. */
function longestLifeMs(algorithm: string): number {
  if (isForThirdParties(algorithm)) return MAX_WORKLOAD_TOKEN_LIFE_MS + ALLOWANCE_MS;
  const rules = Object.values(tokenRules).filter((rule) => rule.algorithm === algorithm);
  return Math.max(...rules.map(({ maxLifeMs }) => maxLifeMs)) + ALLOWANCE_MS;
}

/** One whose kid begins with a letter or a digit: a command line would take a leading hyphen for an option. */
function newPrivateKey(algorithm: string): KeyObject {
  for (;;) {
    const key = anyPrivateKey(algorithm);
    if (/^[A-Za-z0-9]/.test(keyThumbprint(key))) return key;
  }
}

function anyPrivateKey(algorithm: string): KeyObject {
  switch (algorithm) {
    case "EdDSA":
      return generateKeyPairSync("ed25519").privateKey;
    case "ES256":
    case "workload-ES256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    case "workload-RS256":
      return generateKeyPairSync("rsa", { modulusLength: 3072 }).privateKey;
    default:
      throw new TypeError("an algorithm that we do not sign with");
  }
}

function isForThirdParties(algorithm: string): boolean {
  return algorithm.startsWith("workload-");
}

function jwksOf(records: readonly SigningKeyRecord[]): string {
  return formatJwks(
    records.map(({ publicKeyDer }) => createPublicKey({ key: Buffer.from(publicKeyDer), format: "der", type: "spki" })),
  );
}

function sealKey(sealer: KeySealer, algorithm: string, privateKey: KeyObject): NewSigningKey {
  const kid = keyThumbprint(privateKey);
  return {
    kid,
    algorithm,
    publicKeyDer: createPublicKey(privateKey).export({ format: "der", type: "spki" }),
    sealedKey: sealer.seal(kid, privateKey),
  };
}
