import { availableParallelism } from "node:os";
import { hash as hashArgon2, type Options, verify as verifyArgon2 } from "@node-rs/argon2";
import { verify as verifyBcrypt } from "@node-rs/bcrypt";
import { ServiceError } from "@sandgate/rpc";
import { FairQueue } from "./fair-queue.ts";

/** OWASP's argon2id: 19 MiB, two passes, one lane. */
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } satisfies Options;
const ownHash = /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/;
const bcryptHash = /^\$2[aby]\$/;
/** bcrypt looks at no more, and says nothing about it. */
const bcryptBytes = 72;

/** For whom a password is hashed. */
export interface HashingCaller {
  /** Their address. */
  readonly from: string;
  /** Aborts when they have gone away. */
  readonly signal: AbortSignal;
}

/**
 * Hashes and checks passwords off the event loop. At most as many at once as leave a processor free, and no more than 2; at most 256
 * wait for their turn: beyond, LOGIN_BUSY.
 */
export class PasswordHasher {
  readonly #queue: FairQueue;
  readonly #absent: Promise<string>;

  constructor(options: { readonly concurrency?: number; readonly maximumWaiting?: number } = {}) {
    this.#queue = new FairQueue({
      // of libuv's four threads, which files and name look-ups need, too
      concurrency: options.concurrency ?? Math.max(1, Math.min(2, availableParallelism() - 1)),
      maximumWaiting: options.maximumWaiting ?? 256,
    });
    this.#absent = hashArgon2(crypto.randomUUID(), parameters);
    this.#absent.catch(() => undefined); // whoever needs it is told
  }

  /** argon2id of a normalized password, as a PHC string. */
  async hash(password: string, caller: HashingCaller): Promise<string> {
    return this.#inTurn(caller, () => hashArgon2(password, parameters));
  }

  /**
   * Whether a normalized password is the one of a hash. Without a hash, or without a password, it is not, after just as much work. A
   * password of more than 72 bytes is no bcrypt hash's: what comes after them was never looked at when it was made.
   */
  async verify(hash: string | undefined, password: string | undefined, caller: HashingCaller): Promise<boolean> {
    return this.#inTurn(caller, async () => {
      if (hash === undefined || password === undefined) {
        await verifyArgon2(await this.#absent, password ?? "");
        return false;
      }
      if (!bcryptHash.test(hash)) return verifyArgon2(hash, password);
      const isWhole = Buffer.byteLength(password) <= bcryptBytes;
      return (await verifyBcrypt(password, hash)) && isWhole;
    });
  }

  /** Whether a hash is of another kind than those made now, so that the password is to be hashed again. */
  needsRehash(hash: string): boolean {
    return !ownHash.test(hash);
  }

  async #inTurn<T>(caller: HashingCaller, work: () => Promise<T>): Promise<T> {
    const result = await this.#queue.run(caller.from, caller.signal, async () => ({ value: await work() }));
    if (result === undefined) throw new ServiceError("LOGIN_BUSY", "too many passwords wait to be checked");
    return result.value;
  }
}
