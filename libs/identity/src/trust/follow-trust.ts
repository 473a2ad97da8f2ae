import type { AuthService } from "@sandgate/api/auth";
import type { Client } from "@sandgate/rpc";
import type { TrustState } from "./trust-state.ts";

/**
 * Keeps a TrustState true by Auth's trust stream: reconnects for as long as it runs, going on where it stopped. Resolves
 * when the signal aborts. A stream on which nothing is heard for 5 s is given up and opened anew.
 */
export async function followTrust(options: {
  readonly client: Pick<Client<typeof AuthService>, "watchTrust">;
  readonly state: TrustState;
  readonly signal: AbortSignal;
  readonly onFault?: (fault: unknown) => void;
}): Promise<void> {
  const { signal, state } = options;
  let delayMs = 50;
  while (!signal.aborted) {
    const silence = new AbortController();
    const restart = (): NodeJS.Timeout => setTimeout(() => silence.abort(), 5_000);
    let timer = restart();
    try {
      const stream = options.client.watchTrust(
        { afterSequence: state.sequence },
        { signal: AbortSignal.any([signal, silence.signal]) },
      );
      for await (const change of stream) {
        clearTimeout(timer);
        timer = restart();
        state.apply(change);
        delayMs = 50;
      }
    } catch (fault) {
      if (!signal.aborted) options.onFault?.(fault);
    } finally {
      clearTimeout(timer);
    }
    if (signal.aborted) return;
    await pause(delayMs * (0.5 + Math.random()), signal); // jittered: all consumers lose the stream at the same moment
    delayMs = Math.min(delayMs * 2, 100);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
