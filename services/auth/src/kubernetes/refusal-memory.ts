import { hash } from "node:crypto";
import { type Reason, ServiceError } from "@sandgate/rpc";

const rememberedMs = 30_000;
const windowMs = 10_000;
/** So many bad tokens of one network in 10 seconds are looked at. */
const maxRefusals = 20;
const maxEntries = 10_000;

/** What a token itself is to blame for. An outage says nothing about it. */
const ofTheToken: ReadonlySet<Reason> = new Set(["CREDENTIAL_REJECTED", "CREDENTIAL_EXPIRED", "CREDENTIAL_REVOKED"]);

/**
 * Keeps bad tokens from costing their price again: a refusal is remembered for 30 seconds by the token's hash, and of a network that
 * has brought 20 bad ones in 10 seconds nothing more is looked at until they are over. Holds at most 10,000 of each.
 */
export class RefusalMemory {
  readonly #clock: () => number;
  readonly #refusals = new Map<string, { readonly refusal: ServiceError; readonly untilMs: number }>();
  readonly #networks = new Map<string, { readonly sinceMs: number; readonly count: number }>();

  constructor(deps: { readonly clock: () => number }) {
    this.#clock = deps.clock;
  }

  /** What `look` finds out about a token. Throws what it throws, again for a while, and LIMIT_REACHED for a network with too many refusals. */
  async look<T>(token: string, network: string, look: () => Promise<T>): Promise<T> {
    const key = hash("sha256", token, "base64url");
    const known = this.#refusals.get(key);
    if (known !== undefined && this.#clock() < known.untilMs) {
      const { reason, message, metadata } = known.refusal;
      throw new ServiceError(reason, message, metadata);
    }
    const failures = this.#networks.get(network);
    if (failures !== undefined && failures.count >= maxRefusals && this.#isRecent(failures.sinceMs))
      throw new ServiceError("LIMIT_REACHED", "too many bad tokens came from this network");
    try {
      return await look();
    } catch (thrown) {
      if (thrown instanceof ServiceError && ofTheToken.has(thrown.reason)) this.#remember(key, network, thrown);
      throw thrown;
    }
  }

  #remember(key: string, network: string, refusal: ServiceError): void {
    const now = this.#clock();
    put(this.#refusals, key, { refusal, untilMs: now + rememberedMs });
    const failures = this.#networks.get(network);
    const goesOn = failures !== undefined && this.#isRecent(failures.sinceMs);
    put(this.#networks, network, goesOn ? { ...failures, count: failures.count + 1 } : { sinceMs: now, count: 1 });
  }

  #isRecent(sinceMs: number): boolean {
    const now = this.#clock();
    return now >= sinceMs && now < sinceMs + windowMs;
  }
}

/** Puts a new entry last; the oldest goes when there are too many. */
function put<V>(entries: Map<string, V>, key: string, value: V): void {
  entries.delete(key);
  entries.set(key, value);
  if (entries.size <= maxEntries) return;
  const oldest = entries.keys().next();
  if (!oldest.done) entries.delete(oldest.value);
}
