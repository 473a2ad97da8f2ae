import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EnforcementSchema, PolicyService } from "@sandgate/api/policy";
import { type Client, ServiceError } from "@sandgate/rpc";

type EnforcementReport = MessageInitShape<typeof EnforcementSchema> & { readonly sandboxId: string };

const maximumBatch = 1000;

/** Tells the Policy service what is enforced: the newest state of each sandbox, at once, and again until it is stored. */
export class StatusReporter {
  readonly #client: Pick<Client<typeof PolicyService>, "reportPolicyStatus">;
  readonly #onFault: (fault: unknown) => void;
  readonly #waiting = new Map<string, EnforcementReport>();
  #timer: NodeJS.Timeout | undefined;
  #sending = false;
  #stopped = false;

  constructor(options: {
    readonly client: Pick<Client<typeof PolicyService>, "reportPolicyStatus">;
    readonly onFault: (fault: unknown) => void;
  }) {
    this.#client = options.client;
    this.#onFault = options.onFault;
  }

  report(report: EnforcementReport): void {
    this.#waiting.set(report.sandboxId, report);
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (this.#sending || this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#send();
    }, delayMs);
  }

  async #send(): Promise<void> {
    const batch = [...this.#waiting.values()].slice(0, maximumBatch);
    if (batch.length === 0) return;
    let retryMs = 0;
    this.#sending = true;
    try {
      await this.#client.reportPolicyStatus({ enforcements: batch });
      this.#forget(batch);
    } catch (fault) {
      this.#onFault(fault);
      if (fault instanceof ServiceError && fault.reason === "REQUEST_INVALID") this.#forget(batch);
      retryMs = 200;
    } finally {
      this.#sending = false;
    }
    if (this.#waiting.size > 0) this.#schedule(retryMs);
  }

  /** Unless something newer has come in the meantime. */
  #forget(batch: readonly EnforcementReport[]): void {
    for (const report of batch)
      if (this.#waiting.get(report.sandboxId) === report) this.#waiting.delete(report.sandboxId);
  }
}
