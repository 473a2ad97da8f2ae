import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { PolicyService, Verdict } from "@sandgate/api/policy";
import { type Client, ServiceError } from "@sandgate/rpc";

/** A decision as it is reported: sandgate.policy.v1.Decision, as far as it is known. */
export interface DecisionReport {
  readonly decisionId: string;
  readonly sandboxId: string;
  readonly time: Timestamp;
  readonly verdict?: Verdict;
  readonly reason?: string;
  readonly method?: string;
  readonly host?: string;
  readonly port?: number;
  readonly rule?: string;
  readonly policyRevision?: bigint;
  readonly address?: string;
  readonly sentBytes?: bigint;
  readonly receivedBytes?: bigint;
  /** Present once the exchange has ended. */
  readonly duration?: Duration;
}

const maximumBatch = 1000;

/**
 * Reports decisions to the Policy service in order, at most some 50 ms after each. A decision said again, with bytes and
 * duration, replaces what was said before. While the service cannot be reached decisions wait in a bounded queue; what does
 * not fit is dropped and counted, and leaves a gap in the sequence.
 */
export class DecisionLog {
  readonly #client: Pick<Client<typeof PolicyService>, "reportDecisions">;
  readonly #runId: string;
  readonly #capacity: number;
  readonly #delayMs: number;
  readonly #onFault: (fault: unknown) => void;
  readonly #onDrop: (count: number) => void;
  /** By sequence, in order. */
  readonly #queue = new Map<bigint, DecisionReport>();
  readonly #sequences = new Map<string, bigint>();
  #next = 1n;
  #sentUpTo = 0n;
  #storedUpTo = 0n;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #retryMs = 0;
  #stopped = false;

  constructor(options: {
    readonly client: Pick<Client<typeof PolicyService>, "reportDecisions">;
    /** Names this run of the process. */
    readonly runId: string;
    readonly capacity?: number;
    readonly delayMs?: number;
    readonly onFault: (fault: unknown) => void;
    readonly onDrop: (count: number) => void;
  }) {
    this.#client = options.client;
    this.#runId = options.runId;
    this.#capacity = options.capacity ?? 20_000;
    this.#delayMs = options.delayMs ?? 25;
    this.#onFault = options.onFault;
    this.#onDrop = options.onDrop;
  }

  /** How many wait to be stored. */
  get pending(): number {
    return this.#queue.size;
  }

  /** Takes a decision, or what is now known of one. */
  record(report: DecisionReport): void {
    const waiting = this.#sequences.get(report.decisionId);
    if (waiting !== undefined && waiting > this.#sentUpTo) {
      this.#queue.set(waiting, report);
      return;
    }
    const sequence = this.#next++;
    if (this.#queue.size >= this.#capacity) {
      this.#onDrop(1);
      return;
    }
    this.#queue.set(sequence, report);
    this.#sequences.set(report.decisionId, sequence);
    this.#schedule(this.#delayMs);
  }

  /** Reports what waits, and stops. What cannot be reported by then is lost and counted. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const deadline = Date.now() + timeoutMs;
    while (this.#queue.size > 0 && Date.now() < deadline) {
      await this.#sending;
      await this.#send(Math.max(1, deadline - Date.now()));
      if (this.#retryMs > 0) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (this.#queue.size > 0) this.#onDrop(this.#queue.size);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#sending !== undefined || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending = this.#send(10_000).finally(() => {
        this.#sending = undefined;
        if (this.#queue.size > 0) this.#schedule(this.#retryMs);
      });
    }, delayMs);
  }

  async #send(timeoutMs: number): Promise<void> {
    const batch = this.#nextBatch();
    const [first] = batch;
    if (first === undefined) return;
    const last = first.sequence + BigInt(batch.length) - 1n;
    const stored = this.#storedUpTo;
    this.#sentUpTo = last;
    try {
      await this.#client.reportDecisions(
        {
          proxyRunId: this.#runId,
          firstSequence: first.sequence,
          decisions: batch.map(({ report }) => report),
          dropped: first.sequence - stored - 1n,
        },
        { timeoutMs },
      );
      this.#retryMs = 0;
    } catch (fault) {
      this.#onFault(fault);
      if (!isPointless(fault)) {
        this.#retryMs = Math.min(Math.max(this.#retryMs * 2, 100), 5_000);
        return;
      }
      this.#onDrop(batch.length); // a report that is refused once is refused for ever
      this.#retryMs = 0;
      this.#forget(batch);
      return;
    }
    this.#storedUpTo = last;
    this.#forget(batch);
  }

  /** The waiting decisions whose sequences follow one another, from the first. */
  #nextBatch(): { readonly sequence: bigint; readonly report: DecisionReport }[] {
    const batch: { sequence: bigint; report: DecisionReport }[] = [];
    for (const [sequence, report] of this.#queue) {
      const previous = batch.at(-1)?.sequence;
      if (batch.length === maximumBatch || (previous !== undefined && sequence !== previous + 1n)) break;
      batch.push({ sequence, report });
    }
    return batch;
  }

  #forget(batch: readonly { readonly sequence: bigint; readonly report: DecisionReport }[]): void {
    for (const { sequence, report } of batch) {
      this.#queue.delete(sequence);
      if (this.#sequences.get(report.decisionId) === sequence) this.#sequences.delete(report.decisionId);
    }
  }
}

function isPointless(fault: unknown): boolean {
  return (
    fault instanceof ServiceError &&
    (fault.reason === "REQUEST_INVALID" || fault.reason === "DECISION_SEQUENCE_INVALID")
  );
}
