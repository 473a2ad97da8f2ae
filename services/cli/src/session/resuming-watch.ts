import type { SandboxService, WatchSandboxResponse } from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";

/** From one attempt to the next, when the service does not answer. */
const retryMs = 500;

/**
 * A sandbox's changes, through losses of contact: whenever the stream breaks off, another one goes on behind what was seen. Where that is not
 * possible any more it goes on with the sandbox as it is. Throws what the service refuses, the signal's reason when that aborts, and
 * UNAVAILABLE where there never was any contact.
 */
export async function* watchThroughLosses(
  client: Pick<Client<typeof SandboxService>, "watchSandbox">,
  sandbox: string,
  options: {
    readonly signal: AbortSignal;
    /** Told when contact was lost. */
    readonly onLoss?: () => void;
    readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
  },
): AsyncGenerator<WatchSandboxResponse> {
  const { signal, onLoss, pause = waitFor } = options;
  for (let resumeToken = "", hadContact = false; ; ) {
    try {
      for await (const response of client.watchSandbox({ sandbox, resumeToken }, { signal })) {
        resumeToken = response.resumeToken;
        hadContact = true;
        yield response;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      if (error.reason === "RESUME_TOKEN_EXPIRED") resumeToken = "";
      else if (!hadContact || !losses.has(error.reason)) throw error;
      else {
        onLoss?.();
        await pause(retryMs, signal);
      }
    }
  }
}

const losses: ReadonlySet<string> = new Set(["UNAVAILABLE", "TRUST_UNAVAILABLE"]);

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
  signal.throwIfAborted();
}
