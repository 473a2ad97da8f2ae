import { createSign, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { RevocationKind } from "@sandgate/api/auth";
import { Verdict } from "@sandgate/api/policy";
import { createWorkloadSigner, mintWorkloadToken } from "@sandgate/identity";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { trustDomain } from "./control-plane.ts";
import { echoRequest } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench, p0 } from "./proxy-bench.ts";
import { expectReply, expectVerdict } from "./verdict.ts";

const bench = new ProxyBench();
let s1: BenchSandbox;
let s2: BenchSandbox;

beforeAll(async () => {
  await bench.start();
  s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa");
  s2 = await bench.addSandbox("sbx-bbbbbbbbbbbbbbbbbbbb");
});
beforeEach(() => bench.forget());
afterAll(() => bench.stop());

const request = (...lines: string[]) =>
  `GET http://api.example.test/ HTTP/1.1\r\nHost: api.example.test\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const bearer = (token: string) => request(`Proxy-Authorization: Bearer ${token}`);
const base64url = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A token of any header and claims. */
function forge(options: {
  header?: Record<string, unknown>;
  claims?: Record<string, unknown>;
  key?: KeyObject;
  signature?: (input: string) => Buffer;
}): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: "JWT", alg: "ES256", kid: bench.control.kid, ...options.header };
  const claims = {
    iss: `https://auth.${trustDomain}`,
    aud: "egress-proxy",
    sub: `spiffe://${trustDomain}/sandbox/${s1.id}`,
    container_id: s1.id,
    organization_uuid: "5f0e1fd0-6d0b-4b0f-9e53-0d5d8a6f3c11",
    incarnation: 1,
    iat: now,
    nbf: now,
    exp: now + 600,
    jti: "forged-token-000001",
    ...options.claims,
  };
  const input = `${base64url(header)}.${base64url(claims)}`;
  const key = options.key ?? bench.control.privateKey;
  const signed =
    options.signature?.(input) ?? lowS(sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }));
  return `${input}.${signed.toString("base64url")}`;
}

const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function withS(signature: Buffer, change: (s: bigint) => bigint): Buffer {
  const s = change(BigInt(`0x${signature.subarray(32).toString("hex")}`));
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, "0"), "hex")]);
}
const lowS = (signature: Buffer) => withS(signature, (s) => (s > order / 2n ? order - s : s));
const highS = (signature: Buffer) => withS(signature, (s) => (s > order / 2n ? s : order - s));

describe("credentials", () => {
  it("I01: none is 407, with both challenges", async () => {
    const client = await bench.connect(s1);
    client.send(request());
    await expectReply(bench, s1, await client.reply(), "E407(token_missing) noDNS");
    expect(client.text).toMatch(/proxy-authenticate: Basic realm="egress"\r\n/);
    expect(client.text).toMatch(/proxy-authenticate: Bearer realm="egress"\r\n/);
  });

  it("I01: none is 407 for CONNECT too", async () => {
    await expectVerdict(bench, s1, "CONNECT api.example.test:443 HTTP/1.0\r\n\r\n", "E407(token_missing) noDNS");
  });

  it.each([
    ["I02", () => basic(s1)],
    ["I02", () => `Proxy-Authorization: Basic ${btoa(`${s1.id}:${s1.token}`)}`],
    ["I02", () => `Proxy-Authorization: Basic ${btoa(`${s1.id}:jwt_${s1.token}`)}`],
    ["I02", () => `Proxy-Authorization: Bearer ${s1.token}`],
    ["I20", () => `proxy-authorization: basic ${btoa(`container_${s1.id}:jwt_${s1.token}`)}`],
    ["I20", () => `PROXY-AUTHORIZATION: BEARER ${s1.token}`],
    ["own forge", () => `Proxy-Authorization: Bearer ${forge({})}`],
  ])("%s: an accepted form passes", async (_id, line) => {
    await expectVerdict(bench, s1, request(line()), "ALLOW");
  });

  it.each([
    ["two", () => [basic(s1), basic(s1)]],
    ["comma-joined", () => [`${basic(s1)}, Bearer ${s1.token}`]],
    ["tab", () => [`Proxy-Authorization: Basic\t${btoa(`${s1.id}:${s1.token}`)}`]],
    ["two spaces", () => [`Proxy-Authorization: Bearer  ${s1.token}`]],
    ["bad base64", () => ["Proxy-Authorization: Basic !!!"]],
    ["unpadded base64", () => [`Proxy-Authorization: Basic ${btoa(`${s1.id}:${s1.token}x`).replace(/=+$/, "")}`]],
    ["base64url", () => [`Proxy-Authorization: Basic ${base64url(`${s1.id}:\xff\xfe${s1.token}`)}`]],
    ["no colon", () => [`Proxy-Authorization: Basic ${btoa(s1.token)}`]],
    ["another scheme", () => [`Proxy-Authorization: Digest ${s1.token}`]],
    ["double prefix", () => [`Proxy-Authorization: Basic ${btoa(`container_container_${s1.id}:jwt_${s1.token}`)}`]],
    ["empty", () => ["Proxy-Authorization:"]],
    ["I22: in Authorization", () => [`Authorization: Bearer ${s1.token}`]],
  ])("I20: %s is 407", async (_what, lines) => {
    await expectVerdict(bench, s1, request(...lines()), "E407 noDNS");
  });

  it("I22: Authorization is the origin's, and passes untouched", async () => {
    const reply = await expectVerdict(bench, s1, request(basic(s1), `Authorization: Bearer ${s2.token}`), "ALLOW");
    expect(reply.body).toContain(`Authorization: Bearer ${s2.token}`);
    expect(reply.body).not.toContain(s1.token);
  });

  it("I04, D-07: a token counts on its sandbox's own channel alone", async () => {
    await expectVerdict(bench, s2, request(basic(s1)), "D(binding_mismatch) noDNS");
    await expectVerdict(bench, s1, request(basic(s2)), "D(binding_mismatch) noDNS");
  });

  it("C.4: the user of Basic must be the token's sandbox", async () => {
    const line = `Proxy-Authorization: Basic ${btoa(`container_${s2.id}:jwt_${s1.token}`)}`;
    await expectVerdict(bench, s1, request(line), "D(binding_mismatch) noDNS");
  });

  const now = () => Math.floor(Date.now() / 1000);
  it.each([
    ["I05", () => forge({ header: { alg: "none" }, signature: () => Buffer.alloc(0) })],
    ["I05", () => forge({ header: { alg: "None" }, signature: () => Buffer.alloc(0) })],
    ["I05", () => forge({ signature: () => Buffer.alloc(0) })],
    ["I07", () => forge({ header: { alg: "RS256" } })],
    ["I07", () => forge({ header: { alg: "ES384" } })],
    ["I07", () => forge({ header: { alg: "HS256" } })],
    ["I08", () => forge({ header: { kid: "unknown" } })],
    ["I08", () => forge({ header: { kid: "../../dev/null" } })],
    ["I08", () => forge({ header: { kid: "k".repeat(5000) } })],
    ["I08", () => forge({ header: { kid: undefined } })],
    ["I08", () => forge({ header: { jku: "http://evil.test/keys", crit: ["x"] } })],
    ["I08", () => forge({ key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey })],
    ["D-02", () => forge({ header: { typ: "sandgate-session+jwt" } })],
    ["D-02", () => forge({ claims: { aud: "sandgate" } })],
    ["D-02", () => forge({ claims: { aud: ["egress-proxy"] } })],
    ["D-01", () => forge({ claims: { iss: "secure-egress-control" } })],
    ["I10", () => forge({ claims: { exp: String(now() + 600) } })],
    ["I10", () => forge({ claims: { exp: undefined } })],
    ["I10", () => forge({ claims: { exp: 1e300 } })],
    ["I10", () => forge({ claims: { exp: now() + 5 * 3600 } })],
    ["I11", () => forge({ claims: { nbf: now() + 60 } })],
    ["I11", () => forge({ claims: { iat: now() + 60 } })],
    ["I13", () => "a.b.c.d.e"],
    ["I13", () => ".".repeat(4000)],
    ["I13", () => `${s1.token}.${s1.token}`],
    ["I14", () => forge({ signature: (input) => createSign("sha256").update(input).sign(bench.control.privateKey) })],
    ["I14", () => forge({ signature: () => Buffer.alloc(64) })],
    [
      "I14",
      () =>
        forge({
          signature: (input) =>
            highS(sign("sha256", Buffer.from(input), { key: bench.control.privateKey, dsaEncoding: "ieee-p1363" })),
        }),
    ],
    ["I16", () => forge({ claims: { allowed_hosts: ["api.example.test"] } })],
    ["sub", () => forge({ claims: { sub: `spiffe://${trustDomain}/sandbox/${s2.id}` } })],
    ["tampered", () => s1.token.replace(/\.([^.]+)\./, (_all, claims: string) => `.${claims.replace(/^../, "fQ")}.`)],
  ])("%s: a token that is not ours to the last bit is 407", async (_id, token) => {
    await expectVerdict(bench, s1, bearer(token()), "E407(token_invalid) noDNS");
  });

  it("I10: a token that has expired, this very second included, is 407", async () => {
    await expectVerdict(
      bench,
      s1,
      bearer(forge({ claims: { iat: now() - 60, nbf: now() - 60, exp: now() - 1 } })),
      "E407(token_expired) noDNS",
    );
    await expectVerdict(
      bench,
      s1,
      bearer(forge({ claims: { iat: now() - 60, nbf: now() - 60, exp: now() } })),
      "E407(token_expired) noDNS",
    );
  });

  it("I13: a token of 20 KiB is refused unread", async () => {
    await expectVerdict(bench, s1, bearer("a".repeat(20_480)), "E431 noDNS");
    await expectVerdict(bench, s1, bearer("a".repeat(10_000)), "E407(token_invalid) noDNS");
  });

  it.each([
    ["*", "ALLOW"],
    ["api.example.test", "ALLOW"],
    ["other.test,api.example.test", "ALLOW"],
    ["*.example.test", "ALLOW"],
    ["API.example.test,", "ALLOW"],
    [" api.example.test", "D(host_not_allowed) noDNS"],
    ["other.test", "D(host_not_allowed) noDNS"],
    ["", "D(host_not_allowed) noDNS"],
    ["*.api.example.test", "D(host_not_allowed) noDNS"],
  ])("I16: allowed_hosts %j only narrows: api is %s", async (allowed, verdict) => {
    await expectVerdict(bench, s1, bearer(forge({ claims: { allowed_hosts: allowed } })), verdict);
  });

  it("I16: allowed_hosts never widens the policy", async () => {
    const token = forge({ claims: { allowed_hosts: "*,evil.test" } });
    const bytes = `GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: Bearer ${token}\r\n\r\n`;
    await expectVerdict(bench, s1, bytes, "D(host_not_allowed) noDNS");
  });

  it("D-64: a token that is not for the gateway is refused", async () => {
    await expectVerdict(
      bench,
      s1,
      bearer(forge({ claims: { use_egress_gateway: "false" } })),
      "D(binding_mismatch) noDNS",
    );
  });

  it("the 51st invalid token within a second is refused unseen, a valid one with it", async () => {
    const flooded = await bench.addSandbox("sbx-ffffffffffffffffffff");
    const replies = await Promise.all(
      Array.from({ length: 120 }, async () => {
        const client = await bench.connect(flooded);
        client.send(bearer(`${flooded.token}x`));
        return (await client.reply()).status;
      }),
    );
    expect(new Set(replies)).toEqual(new Set([407, 429]));
  });
});

describe("signing keys", () => {
  it("C.4: change without a restart, and a withdrawn key counts no more, also for tokens that were seen", async () => {
    const next = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const token = await bench.control.mint(s1.id, { tokenId: "token-of-the-next-key" }, next.privateKey);
    const status = async () => {
      const client = await bench.connect(s1);
      client.send(bearer(token));
      return (await client.reply()).status;
    };
    expect(await status()).toBe(407);
    bench.control.publishKeys(bench.control.publicKey, next.publicKey);
    await expect.poll(status).toBe(200);
    bench.control.publishKeys(bench.control.publicKey);
    await expect.poll(status).toBe(407);
  });
});

describe("tokens of a workload for third parties", () => {
  it.each([
    ["by their own key", () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey],
    ["even by the key of egress tokens", () => bench.control.privateKey],
  ])("S1-03 open nothing here, %s", async (_name, key) => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const token = await mintWorkloadToken({
      signer: createWorkloadSigner(key()),
      trustDomain,
      claims: {
        sandboxId: s1.id,
        audience: "sts.example.com",
        tokenId: "t".repeat(43),
        issuedAtMs: now,
        expiresAtMs: now + 300_000,
      },
    });
    for (const line of [basic(s1, token), `Proxy-Authorization: Bearer ${token}`])
      await expectVerdict(bench, s1, request(line), "E407 noDNS");
  });
});

describe("revocation and outage", () => {
  it.each([
    ["token", RevocationKind.TOKEN, (sandbox: BenchSandbox) => `${sandbox.id}-token-0001`],
    ["incarnation", RevocationKind.INCARNATION, (sandbox: BenchSandbox) => `${sandbox.id}/1`],
    ["sandbox", RevocationKind.SANDBOX, (sandbox: BenchSandbox) => sandbox.id],
  ])("I17: a revoked %s is 407, and its tunnels are cut within a second", async (what, kind, subject) => {
    const doomed = await bench.addSandbox(`sbx-${what.padEnd(20, "c")}`);
    bench.plain.behaviour = () => undefined;
    const open = await bench.connect(doomed);
    open.send(request(basic(doomed)));
    await expect.poll(() => bench.plain.received.length).toBe(1);
    const revokedAt = performance.now();
    bench.control.revoke(kind, subject(doomed));
    await open.closed;
    expect(performance.now() - revokedAt).toBeLessThan(1000);
    const cut = await bench.control.decision((one) => one.sandboxId === doomed.id && one.duration !== undefined);
    expect(cut.reason).toBe("token_revoked");
    bench.forget();
    await expectVerdict(bench, doomed, request(basic(doomed)), "E407(token_revoked) noDNS");
  });

  it("I23: nothing is accepted when Auth or Policy have not been heard for ten seconds, and all is well when they come back", async () => {
    bench.control.heartbeats = false;
    bench.clockSkewMs = 10_500;
    await expectVerdict(bench, s1, request(basic(s1)), "E503(trust_unavailable) noDNS");
    expect(() => bench.checks().trust?.()).toThrow();
    bench.control.heartbeats = true;
    await expect.poll(() => trustIsBack(), { timeout: 5000 }).toBe(true);
    bench.control.up = false;
    bench.control.breakStreams();
    await expect.poll(() => policyIsGone(), { timeout: 5000 }).toBe(false);
    bench.control.up = true;
    await expect.poll(() => trustIsBack() && policyIsGone(), { timeout: 8000 }).toBe(true);
    bench.forget();
    const { revision } = { revision: bench.control.setPolicy(s1.id, p0) };
    await bench.control.enforced(s1.id, revision);
    await bench.addSandbox("sbx-hhhhhhhhhhhhhhhhhhhh");
    bench.clockSkewMs = 0;
  });

  it.each([
    ["Auth", "trust_unavailable", (answers: boolean) => (bench.control.heartbeats = answers)],
    [
      "Policy, which takes calls and says nothing,",
      "policy_unavailable",
      (answers: boolean) => (bench.control.policyAnswers = answers),
    ],
  ] as const)(
    "I23: what is open is cut when %s has not been heard for ten seconds",
    async (_, reason, setAnswering) => {
      bench.control.revoke(RevocationKind.TOKEN, "some-other-token"); // both are heard by today's clock
      const sandbox = await bench.addSandbox(`sbx-${reason.slice(0, 5).padEnd(20, "d")}`);
      bench.plain.behaviour = () => undefined;
      const open = await bench.connect(sandbox);
      open.send(request(basic(sandbox)));
      await expect.poll(() => bench.plain.received.length).toBe(1);
      setAnswering(false);
      bench.clockSkewMs = 8_000; // the other one's heartbeat is at most a second old
      const streams = bench.control.policyStreams;
      expect(open.socket.destroyed).toBe(false);
      await open.closed;
      const cut = await bench.control.decision((one) => one.sandboxId === sandbox.id && one.duration !== undefined);
      expect(cut).toMatchObject({ verdict: Verdict.ALLOWED, reason });
      bench.forget();
      await expectVerdict(bench, sandbox, request(basic(sandbox)), `E503(${reason}) noDNS`);
      if (reason === "policy_unavailable")
        await expect.poll(() => bench.control.policyStreams, { timeout: 10_000 }).toBeGreaterThan(streams);
      const waiting = await bench.connect(sandbox);
      setAnswering(true);
      await expect.poll(() => trustIsBack() && policyIsKnown(), { timeout: 10_000 }).toBe(true);
      bench.clockSkewMs = 0;
      bench.plain.behaviour = echoRequest;
      waiting.send(request(basic(sandbox)));
      expect((await waiting.reply()).status).toBe(200);
      bench.forget();
    },
  );
});

function trustIsBack(): boolean {
  try {
    bench.checks().trust?.();
    return true;
  } catch {
    return false;
  }
}

function policyIsKnown(): boolean {
  try {
    bench.checks().policies?.();
    return true;
  } catch {
    return false;
  }
}

/** Whether the policies count; once the streams are broken, the clock is put on until they do not. */
function policyIsGone(): boolean {
  bench.clockSkewMs += bench.control.up ? 0 : 11_000;
  return policyIsKnown();
}
