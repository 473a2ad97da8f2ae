import { type CallOptions, type Channel, ServiceError } from "@sandgate/rpc";

/** Where access tokens come from. */
interface Tokens {
  current(): Promise<string>;
  renew(stale: string): Promise<string>;
}

/** The channel with the user's access token on every call. A call that was refused because its token had died is made once more. */
export function authorizedChannel(channel: Channel, tokens: Tokens): Channel {
  return {
    async unary(method, request, options) {
      const token = await tokens.current();
      try {
        return await channel.unary(method, request, withToken(options, token));
      } catch (fault) {
        if (!isDead(fault)) throw fault;
        return channel.unary(method, request, withToken(options, await tokens.renew(token)));
      }
    },
    async *serverStream(method, request, options) {
      const token = await tokens.current();
      let isAnswered = false;
      try {
        for await (const response of channel.serverStream(method, request, withToken(options, token))) {
          isAnswered = true;
          yield response;
        }
      } catch (fault) {
        if (isAnswered || !isDead(fault)) throw fault;
        yield* channel.serverStream(method, request, withToken(options, await tokens.renew(token)));
      }
    },
    // requests that were sent cannot be sent again
    async clientStream(method, requests, options) {
      return channel.clientStream(method, requests, withToken(options, await tokens.current()));
    },
    async *bidiStream(method, requests, options) {
      yield* channel.bidiStream(method, requests, withToken(options, await tokens.current()));
    },
    close: () => channel.close(),
  };
}

function withToken(options: CallOptions, token: string): CallOptions {
  return { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } };
}

function isDead(fault: unknown): boolean {
  return (
    fault instanceof ServiceError && (fault.reason === "CREDENTIAL_REVOKED" || fault.reason === "CREDENTIAL_EXPIRED")
  );
}
