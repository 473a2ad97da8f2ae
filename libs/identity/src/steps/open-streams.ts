import { type Call, ServiceError } from "@sandgate/rpc";
import type { TrustState } from "../trust/trust-state.ts";

const sweepMs = 1_000;

type StreamCall = Pick<Call, "onDone" | "end">;

/**
 * The streams that stay open for somebody whose credential can be revoked. They end with TRUST_UNAVAILABLE within a second of trust not
 * being current any more: who can silence Auth must not thereby keep what Auth would revoke.
 */
export class OpenStreams {
  readonly #trust: Pick<TrustState, "isCurrent">;
  readonly #calls = new Set<StreamCall>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(deps: { readonly trust: Pick<TrustState, "isCurrent"> }) {
    this.#trust = deps.trust;
  }

  /** Watches over a call until it is done. */
  add(call: StreamCall): void {
    this.#calls.add(call);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs).unref();
    call.onDone(() => {
      this.#calls.delete(call);
      if (this.#calls.size > 0) return;
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    });
  }

  #sweep(): void {
    if (this.#trust.isCurrent()) return;
    for (const call of [...this.#calls])
      call.end(new ServiceError("TRUST_UNAVAILABLE", "there is no current revocation data"));
  }
}
