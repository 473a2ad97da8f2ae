import { ServiceError } from "@sandgate/rpc";
import type { SandboxRecord } from "../domain/sandbox-record.ts";

const patienceMs = 10_000;

/** Calls that wait until a new sandbox can be named everywhere. */
export class Addressable {
  readonly #waiting = new Map<string, Set<PromiseWithResolvers<void>>>();

  /** Resolves when the sandbox can be named. Throws UNAVAILABLE when it cannot for long, and the signal's reason when that aborts. */
  async wait(sandboxId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const waiter = Promise.withResolvers<void>();
    const all = this.#waiting.get(sandboxId) ?? new Set();
    all.add(waiter);
    this.#waiting.set(sandboxId, all);
    const onAbort = () => waiter.reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    const timer = setTimeout(() => waiter.reject(unavailable(sandboxId)), patienceMs);
    try {
      await waiter.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      all.delete(waiter);
      if (all.size === 0) this.#waiting.delete(sandboxId);
    }
  }

  /** It can be named now. */
  announce(sandboxId: string): void {
    for (const waiter of this.#waiting.get(sandboxId) ?? []) waiter.resolve();
  }

  /** Looks at a row: whether that sandbox can be named, or never will. */
  observe(row: SandboxRecord): void {
    if (row.policyRevision !== undefined || row.desiredPhase === "DELETED" || row.phase === "DELETED")
      this.announce(row.id);
    else if ((row.phase === "FAILED" || row.phase === "STOPPED") && row.registered) this.announce(row.id);
  }

  /** Ends every wait. */
  stop(): void {
    for (const [sandboxId, all] of this.#waiting) for (const waiter of all) waiter.reject(unavailable(sandboxId));
  }
}

function unavailable(sandboxId: string): ServiceError {
  return new ServiceError("UNAVAILABLE", "the sandbox is recorded but cannot be named yet", { sandbox_id: sandboxId });
}
