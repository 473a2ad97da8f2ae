import type { Logger } from "@sandgate/telemetry";
import type { ClientAddress } from "../domain/client-address.ts";
import type { Firewall } from "./firewall.ts";
import { FirewallError } from "./firewall-error.ts";
import type { GuardBackend } from "./guard-backend.ts";

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5_000;
/** So many that their text fits into a pipe: it is written whole or not at all. */
const MAX_PER_TRANSACTION = 250;

/** What the firewall did not do: change who is in, make the guard new, say how it is, or stay as it was made. */
export type FirewallFault = "change" | "restore" | "check" | "altered";

interface Deps {
  readonly backend: GuardBackend;
  /** A clock that is never set. */
  readonly monotonic: () => number;
  readonly onFault: (fault: FirewallFault) => void;
  readonly logger: Logger;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface WaitingChange {
  readonly address: ClientAddress;
  readonly waiters: Waiter[];
}

/**
 * Keeps ports guarded. The kernel ends each admission, also when no process of ours lives (EW-05). All that is asked for while a change is made
 * goes into the next one. Where the guard is not as it was made, because someone flushed it or a change failed, it is made new with all that should
 * be in it (EW-08): it follows what the kernel tells, and looks every few seconds for what it was not told.
 */
export class GuardKeeper implements Firewall {
  readonly #deps: Deps;
  readonly #admitted = new Map<string, { readonly address: ClientAddress; readonly deadlineMs: number }>();
  #changes = new Map<string, WaitingChange>();
  #running: Promise<void> | undefined;
  /** The guard as the kernel lists it; undefined while it is not as it should be. */
  #listing: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #following: { stop(): Promise<void> } | undefined;
  #checkAsked = false;
  #failures = 0;
  #stopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Makes the guard: what an earlier life left of it is gone. Rejects with FirewallError, which says the mend. */
  async start(): Promise<void> {
    await this.#restore();
    this.#following = this.#deps.backend.follow(() => this.#askCheck());
    this.#schedule();
  }

  set(address: ClientAddress, deadlineMs: number | undefined): Promise<void> {
    if (this.#stopped) return Promise.reject(new FirewallError("the firewall is stopped"));
    if (deadlineMs === undefined) this.#admitted.delete(address.text);
    else this.#admitted.set(address.text, { address, deadlineMs });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const change = this.#changes.get(address.text) ?? { address, waiters: [] };
    change.waiters.push({ resolve, reject });
    this.#changes.set(address.text, change);
    this.#run();
    return promise;
  }

  check(): void {
    if (this.#listing === undefined) throw new FirewallError("the guarded ports may not be guarded");
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#following?.stop();
    while (this.#running !== undefined) await this.#running;
    this.#admitted.clear();
    try {
      await this.#restore();
    } finally {
      await this.#deps.backend.stop();
    }
  }

  /** One thing at a time: transactions of two processes could overtake each other. */
  #run(): void {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
      if (this.#changes.size > 0 || this.#checkAsked) this.#run();
    });
  }

  #askCheck(): void {
    if (this.#stopped) return;
    this.#checkAsked = true;
    this.#run();
  }

  async #work(): Promise<void> {
    while (this.#changes.size > 0 || this.#checkAsked) {
      if (this.#checkAsked) {
        this.#checkAsked = false;
        await this.#verify();
      }
      const batch = [...this.#changes.values()].slice(0, MAX_PER_TRANSACTION);
      for (const { address } of batch) this.#changes.delete(address.text);
      const waiters = batch.flatMap((change) => change.waiters);
      try {
        await this.#commit(batch);
        for (const { resolve } of waiters) resolve();
      } catch (error) {
        for (const { reject } of waiters) reject(error);
      }
    }
  }

  async #commit(batch: readonly WaitingChange[]): Promise<void> {
    if (batch.length === 0) return;
    if (this.#listing === undefined) return await this.#restore();
    try {
      await this.#deps.backend.change(batch.map(({ address }) => ({ address, leftMs: this.#leftMs(address) })));
    } catch (error) {
      this.#note("change", error);
      await this.#restore();
    }
  }

  #leftMs(address: ClientAddress): number | undefined {
    const admitted = this.#admitted.get(address.text);
    const leftMs = admitted === undefined ? 0 : admitted.deadlineMs - this.#deps.monotonic();
    return leftMs > 0 ? leftMs : undefined;
  }

  async #restore(): Promise<void> {
    const { backend } = this.#deps;
    const admissions = [...this.#admitted.values()].flatMap(({ address }) => {
      const leftMs = this.#leftMs(address);
      return leftMs === undefined ? [] : [{ address, leftMs }];
    });
    this.#listing = undefined;
    try {
      await backend.restore(admissions);
      this.#listing = await backend.list();
      this.#failures = 0;
    } catch (error) {
      this.#note("restore", error);
      this.#failures += 1;
      throw error;
    } finally {
      this.#schedule();
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const delayMs =
      this.#failures === 0
        ? this.#deps.backend.checkMs
        : Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), LONGEST_RETRY_MS);
    this.#timer = setTimeout(() => {
      this.#askCheck();
      this.#schedule();
    }, delayMs).unref();
  }

  /** Never rejects. */
  async #verify(): Promise<void> {
    try {
      if (this.#listing !== undefined) {
        if ((await this.#deps.backend.list()) === this.#listing) return;
        this.#deps.onFault("altered");
      }
    } catch (error) {
      this.#note("check", error);
    }
    this.#deps.logger.error("the guard is not as it was made: it is made new");
    await this.#restore().catch(() => undefined); // it is noted, and tried again
  }

  #note(fault: FirewallFault, error: unknown): void {
    this.#deps.onFault(fault);
    this.#deps.logger.error({ err: error, fault }, "the firewall failed");
  }
}
