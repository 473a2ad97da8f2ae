import { AuthService } from "@sandgate/api/auth";
import type { Call, CallOptions, Channel } from "@sandgate/rpc";
import { expect, it } from "vitest";
import { relayService } from "./relay-service.ts";

/** What the service is told of a call with these header fields. */
async function relayed(headers: Record<string, string>, deadline?: number): Promise<CallOptions> {
  let told: CallOptions = {};
  const channel: Partial<Channel> = {
    unary: async (_method, _request, options) => {
      told = options;
    },
  };
  const call: Partial<Call> = {
    connection: { transport: "web", remoteAddress: "192.0.2.7", drain: () => {}, onClose: () => {} },
    signal: AbortSignal.abort(),
    deadline,
    header: (name) => headers[name],
  };
  const { handlers } = relayService(AuthService, channel as Channel);
  await handlers["getPrincipal"]?.({}, call as Call);
  return told;
}

it("passes on the credential and the address, and nothing else that a caller says of itself", async () => {
  const { headers } = await relayed({
    authorization: "Bearer token",
    "sandgate-caller": "user/somebody",
    "sandgate-client-address": "198.51.100.1",
    cookie: "token",
    "x-forwarded-for": "198.51.100.1",
  });
  expect(headers).toEqual({ authorization: "Bearer token", "sandgate-client-address": "192.0.2.7" });
});

it("passes on nothing for a caller without a credential", async () => {
  expect((await relayed({})).headers).toEqual({ "sandgate-client-address": "192.0.2.7" });
});

it("does not fail at a credential that gRPC cannot carry, and makes none of it that is good", async () => {
  expect((await relayed({ authorization: "Bearer tok\u00e9n" })).headers).toMatchObject({
    authorization: "Bearer tok?n",
  });
});

it("passes on that the caller gives up, and the time that is left", async () => {
  const { signal, timeoutMs } = await relayed({}, Date.now() + 60_000);
  expect(signal?.aborted).toBe(true);
  expect(timeoutMs).toBeGreaterThan(50_000);
  expect(timeoutMs).toBeLessThanOrEqual(60_000);
  expect((await relayed({}, Date.now() - 1)).timeoutMs).toBe(1);
  expect(await relayed({})).not.toHaveProperty("timeoutMs");
});
