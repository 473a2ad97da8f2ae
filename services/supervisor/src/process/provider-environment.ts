import type { PolicyService } from "@sandgate/api/policy";
import { type Client, ServiceError } from "@sandgate/rpc";
import { createBackoff } from "../backoff.ts";
import type { Logger } from "../logger.ts";
import type { Timers } from "../timers.ts";
import type { Workload } from "./workload.ts";

/** What the environment is asked for with. */
interface ProviderEnvironmentOptions {
  readonly sandboxId: string;
  readonly policy: Pick<Client<typeof PolicyService>, "getSandboxProviderEnvironment">;
  readonly timers: Timers;
  readonly random: () => number;
  /** Ends the asking. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** How long a process waits to be told of its providers, before it starts with what is known. */
const patienceMs = 1_000;

/**
 * The environment variables of the providers that policy grants the workload: placeholders and base URLs, no secrets. Asked for when the
 * control plane says that there are any, or others; a process that is started meanwhile waits for the answer, but not for ever.
 */
export class ProviderEnvironment {
  readonly #options: ProviderEnvironmentOptions;
  readonly #told = Promise.withResolvers<void>();
  #known: Readonly<Record<string, string>> = {};
  #asking: Promise<void> = this.#told.promise;
  #superseded = new AbortController();
  #patient = true;

  constructor(options: ProviderEnvironmentOptions) {
    this.#options = options;
  }

  /** Says which providers there are from now on. */
  grant(providers: readonly string[]): void {
    this.#superseded.abort();
    this.#superseded = new AbortController();
    this.#patient = true;
    if (providers.length === 0) {
      this.#known = {};
      this.#asking = Promise.resolve();
    } else this.#asking = this.#ask(AbortSignal.any([this.#superseded.signal, this.#options.signal]));
    this.#told.resolve();
  }

  /** Starts a process of the workload with the variables, unless the caller sets them otherwise. */
  around(workload: Pick<Workload, "start">): Workload["start"] {
    return async (request) => {
      await this.#settled();
      return workload.start({ ...request, environment: { ...this.#known, ...request.environment } });
    };
  }

  async #settled(): Promise<void> {
    if (!this.#patient) return;
    const waited = new AbortController();
    const late = this.#options.timers.wait(patienceMs, waited.signal).then(() => {
      if (!waited.signal.aborted) this.#patient = false; // the next one does not wait for the same answer
    });
    await Promise.race([this.#asking, late]);
    waited.abort();
  }

  /** Asks until there is an answer, or the signal aborts. */
  async #ask(signal: AbortSignal): Promise<void> {
    const { sandboxId, policy, timers, random, logger } = this.#options;
    const backoff = createBackoff({ firstMs: 50, maxMs: 5_000, random });
    while (!signal.aborted)
      try {
        const { environment } = await policy.getSandboxProviderEnvironment(
          { sandbox: sandboxId },
          { signal, timeoutMs: 5_000 },
        );
        if (!signal.aborted) this.#known = environment;
        return;
      } catch (cause) {
        if (!(cause instanceof ServiceError)) throw cause;
        if (signal.aborted) return;
        logger.warn("the environment of providers is not known", { reason: cause.reason });
        await timers.wait(backoff.next(), signal);
      }
  }
}
