import type { DescMethod } from "@bufbuild/protobuf";
import { type CallOptions, type Channel, ServiceError } from "@sandgate/rpc";

const patienceMs = 10_000;

/**
 * Makes one call and says what became of it: "OK" or the reason. A stream is OK when its first response arrives or it ends
 * without an error, and is then given up.
 */
export async function callOutcome(
  channel: Channel,
  method: DescMethod,
  requests: readonly Readonly<Record<string, unknown>>[],
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const stop = new AbortController();
  const options: CallOptions = { headers, signal: stop.signal, timeoutMs: patienceMs };
  const first = requests[0] ?? {};
  try {
    switch (method.methodKind) {
      case "unary":
        await channel.unary(method, first, options);
        break;
      case "client_streaming":
        await channel.clientStream(method, each(requests), options);
        break;
      case "server_streaming":
        await firstOf(channel.serverStream(method, first, options));
        break;
      case "bidi_streaming":
        await firstOf(channel.bidiStream(method, held(requests, stop.signal), options));
        break;
    }
    return "OK";
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown.reason;
    throw thrown;
  } finally {
    stop.abort();
  }
}

async function firstOf(responses: AsyncIterable<unknown>): Promise<void> {
  for await (const _response of responses) return;
}

async function* each<T>(requests: readonly T[]): AsyncGenerator<T> {
  yield* requests;
}

/** The requests, and then nothing until the call is given up: a client that keeps its side open. */
async function* held<T>(requests: readonly T[], signal: AbortSignal): AsyncGenerator<T> {
  yield* requests;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
