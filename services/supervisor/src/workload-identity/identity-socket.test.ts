import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ExchangeTokenResponseSchema } from "@sandgate/api/auth";
import { PermitTokenExchangeResponseSchema } from "@sandgate/api/policy";
import { type Reason, ServiceError } from "@sandgate/rpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IdentitySocket, identitySocketName } from "./identity-socket.ts";

const sandboxId = "sbx-aaaaaaaaaaaaaaaaaaaa";
const expiresAt = Date.parse("2026-03-01T12:05:00Z");
let directory: string;
let socket: IdentitySocket;
let exchanged: string[];
let fault: Reason | undefined;
let now: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ids-"));
  exchanged = [];
  fault = undefined;
  now = 0;
  socket = new IdentitySocket({
    sandboxId,
    directory: join(directory, "identity"),
    policy: {
      permitTokenExchange: async ({ audience = "" }) => {
        if (fault !== undefined) throw new ServiceError(fault, "refused for the test");
        return create(PermitTokenExchangeResponseSchema, { permit: `permit for ${audience}` });
      },
    },
    auth: {
      exchangeToken: async ({ audience = "", permit = "" }) => {
        exchanged.push(permit);
        return create(ExchangeTokenResponseSchema, {
          token: `token for ${audience}`,
          expireTime: timestampFromMs(expiresAt),
        });
      },
    },
    timers: { now: () => now },
    logger: { info: () => {}, warn: () => {}, error: () => {} },
  });
});
afterEach(async () => {
  await socket.close();
  rmSync(directory, { recursive: true });
});

const path = () => join(directory, "identity", identitySocketName);

async function ask(target: string, method = "GET") {
  const { promise, resolve, reject } = Promise.withResolvers<import("node:http").IncomingMessage>();
  request({ socketPath: path(), path: target, method, agent: false }, resolve).on("error", reject).end();
  const response = await promise;
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

describe("the workload's identity socket", () => {
  it("is there while something is granted, and only then", async () => {
    expect(readdirSync(join(directory, "identity"))).toEqual([]);
    await socket.grant(["a.example.com"]);
    expect(readdirSync(join(directory, "identity"))).toEqual([identitySocketName]);
    await socket.grant([]);
    expect(existsSync(path())).toBe(false);
    await socket.grant(["b.example.com"]);
    expect((await ask("/token?audience=b.example.com")).status).toBe(200);
  });

  it("gives a token in the shape that is asked for, not to be kept by anybody between", async () => {
    await socket.grant(["a.example.com"]);
    const plain = await ask("/token?audience=a.example.com");
    expect(JSON.parse(plain.body)).toEqual({
      token: "token for a.example.com",
      audience: "a.example.com",
      expires_at: "2026-03-01T12:05:00.000Z",
    });
    expect(plain.headers).toMatchObject({ "content-type": "application/json", "cache-control": "no-store" });
    const alone = await ask("/token?audience=a.example.com&format=jwt");
    expect(alone).toMatchObject({ body: "token for a.example.com", headers: { "content-type": "application/jwt" } });
    expect(JSON.parse((await ask("/token?audience=a.example.com&format=google")).body)).toEqual({
      version: 1,
      success: true,
      token_type: "urn:ietf:params:oauth:token-type:jwt",
      id_token: "token for a.example.com",
      expiration_time: expiresAt / 1000,
    });
  });

  it("asks Policy at every request", async () => {
    await socket.grant(["a.example.com"]);
    await ask("/token?audience=a.example.com");
    await ask("/token?audience=a.example.com");
    expect(exchanged).toEqual(["permit for a.example.com", "permit for a.example.com"]);
    fault = "AUDIENCE_NOT_GRANTED";
    expect(await ask("/token?audience=a.example.com")).toMatchObject({ status: 403 });
    expect(exchanged).toHaveLength(2);
  });

  it("says which audiences are granted when another is asked for, and asks nobody", async () => {
    await socket.grant(["a.example.com"]);
    for (const audience of ["b.example.com", "sandgate", "egress-proxy", "A.example.com", "a.example.com%20"]) {
      const { status, body } = await ask(`/token?audience=${audience}`);
      expect({ status, ...JSON.parse(body) }).toMatchObject({
        status: 403,
        error: "AUDIENCE_NOT_GRANTED",
        granted: ["a.example.com"],
      });
    }
    expect(exchanged).toEqual([]);
  });

  it.each([
    ["/", "GET", 404],
    ["/token/../token?audience=x", "POST", 405],
    ["/token", "POST", 405],
    ["/token", "GET", 400],
    ["/token?audience=a.example.com&audience=b.example.com", "GET", 400],
    ["/token?audience=a.example.com&format=saml", "GET", 400],
    ["//evil/token?audience=a.example.com", "GET", 200],
    ["/session", "GET", 404],
  ])("answers %s by %s with %d", async (target, method, status) => {
    await socket.grant(["a.example.com"]);
    expect((await ask(target, method)).status).toBe(status);
  });

  it.each<[Reason, number]>([
    ["UNAVAILABLE", 503],
    ["TRUST_UNAVAILABLE", 503],
    ["DEADLINE_EXCEEDED", 503],
    ["CREDENTIAL_REVOKED", 502],
  ])("is closed when the control plane answers %s: %d", async (reason, status) => {
    await socket.grant(["a.example.com"]);
    fault = reason;
    const answer = await ask("/token?audience=a.example.com");
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ error: reason });
    expect(exchanged).toEqual([]);
  });

  it("gives ten at once, then one a second, and says how long to wait", async () => {
    await socket.grant(["a.example.com"]);
    const burst = await Promise.all(Array.from({ length: 12 }, () => ask("/token?audience=a.example.com")));
    expect(burst.filter(({ status }) => status === 200)).toHaveLength(10);
    const refused = burst.filter(({ status }) => status === 429);
    expect(refused.map(({ headers }) => headers["retry-after"])).toEqual(["1", "1"]);
    now += 1_000;
    expect((await ask("/token?audience=a.example.com")).status).toBe(200);
    expect((await ask("/token?audience=a.example.com")).status).toBe(429);
    now -= 60_000;
    expect((await ask("/token?audience=a.example.com")).status).toBe(429);
  });
});
