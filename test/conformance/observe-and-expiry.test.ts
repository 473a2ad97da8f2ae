import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Verdict } from "@sandgate/api/policy";
import { policyMode } from "@sandgate/policy";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { clientHello, serverNameExtension } from "./client-hello-bytes.ts";
import { echoRequest } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench, policyOf, publicAddress } from "./proxy-bench.ts";
import { expectVerdict } from "./verdict.ts";

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start();
beforeEach(() => {
  bench.forget();
  bench.plain.behaviour = echoRequest;
});

const idOf = (letter: string): string => `sbx-${letter.repeat(20)}`;
const get = (sandbox: BenchSandbox, authority: string) =>
  `GET http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\n${basic(sandbox)}\r\n\r\n`;

describe("a policy that observes", async () => {
  const rules = policyOf(
    { name: "api", hosts: ["api.example.test"] },
    { name: "no", action: "deny", hosts: ["no.example.test"] },
  );
  const sandbox = await bench.addSandbox(idOf("o"), { ...rules, mode: policyMode.observe });
  bench.dns.set("new.example.test", { addresses: [publicAddress] });
  bench.dns.set("inside.example.test", { addresses: ["10.9.0.1"] });
  bench.dns.set("rebound.example.test", { addresses: ["127.0.0.1", "169.254.169.254", "::1"] });

  it("lets through what no rule allows, and records what would have been", async () => {
    await expectVerdict(bench, sandbox, get(sandbox, "new.example.test"), "ALLOW");
    const decision = await bench.control.decision(({ host }) => host === "new.example.test");
    expect(decision).toMatchObject({ verdict: Verdict.WOULD_DENY, reason: "host_not_allowed", address: publicAddress });
  });

  it("records what a rule allows as ever", async () => {
    await expectVerdict(bench, sandbox, get(sandbox, "api.example.test"), "ALLOW");
    const decision = await bench.control.decision(({ host }) => host === "api.example.test");
    expect(decision).toMatchObject({ verdict: Verdict.ALLOWED, reason: "", rule: "api" });
  });

  it.each([
    ["what a deny rule names", "no.example.test", "D(host_not_allowed) noDNS"],
    ["a private address behind a name", "inside.example.test", "D(ip_not_allowed)"],
    ["loopback and metadata behind a name", "rebound.example.test", "D(ip_not_allowed)"],
    ["a private address", "10.9.0.1", "D(host_not_allowed) noDNS"],
    ["the metadata address", "169.254.169.254", "D(ip_not_allowed) noDNS"],
    ["the metadata name", "metadata.google.internal", "D(host_not_allowed) noDNS"],
    ["loopback", "127.0.0.1", "D(ip_not_allowed) noDNS"],
  ])("B10, B16: %s, %s, is denied all the same", async (_name, host, verdict) => {
    await expectVerdict(bench, sandbox, get(sandbox, host), verdict);
  });

  it("a token's own hosts narrow it all the same, and without a token nothing passes", async () => {
    const token = await bench.control.mint(sandbox.id, { allowedHosts: ["api.example.test"] });
    const narrowed = `GET http://new.example.test/ HTTP/1.1\r\nHost: new.example.test\r\n${basic(sandbox, token)}\r\n\r\n`;
    await expectVerdict(bench, sandbox, narrowed, "D(host_not_allowed) noDNS");
    await expectVerdict(
      bench,
      sandbox,
      "GET http://new.example.test/ HTTP/1.1\r\nHost: new.example.test\r\n\r\n",
      "E407(token_missing) noDNS",
    );
  });

  it("cuts what it let through when it is enforced", async () => {
    const strict = await bench.addSandbox(idOf("p"), { ...rules, mode: policyMode.observe });
    const tunnel = await openTunnel(strict, "new.example.test:8443");
    bench.control.setPolicy(strict.id, rules);
    await tunnel.closed;
    const cut = await bench.control.decision((one) => one.sandboxId === strict.id && one.duration !== undefined);
    expect(cut).toMatchObject({ verdict: Verdict.WOULD_DENY, reason: "policy_changed" });
  });
});

describe("a rule that expires", () => {
  it("cuts its tunnel and allows nothing more from that moment on, without a push", async () => {
    const sandbox = await bench.addSandbox(idOf("q"), policyOf());
    const expireMs = Date.now() + 400;
    const [rule] = policyOf({ name: "grant", hosts: ["api.example.test"], ports: [80, 8443] }).rules;
    if (rule === undefined) throw new Error("there is no rule");
    const revision = bench.control.setPolicy(sandbox.id, {
      rules: [{ ...rule, expireTime: timestampFromMs(expireMs) }],
    });
    await bench.control.enforced(sandbox.id, revision);
    const tunnel = await openTunnel(sandbox, "api.example.test:8443");
    await tunnel.closed;
    expect(Date.now()).toBeGreaterThanOrEqual(expireMs);
    expect(Date.now() - expireMs).toBeLessThan(1_000);
    bench.forget();
    await expectVerdict(bench, sandbox, get(sandbox, "api.example.test"), "D(host_not_allowed) noDNS");
    const denied = await bench.control.decision(
      (one) => one.sandboxId === sandbox.id && one.verdict === Verdict.DENIED,
    );
    expect(denied).toMatchObject({ rule: "grant" });
  });
});

/** A tunnel in which what looks like TLS has reached the origin. */
async function openTunnel(sandbox: BenchSandbox, authority: string) {
  const client = await bench.connect(sandbox);
  client.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${basic(sandbox)}\r\n\r\n`);
  await client.until("200 Connection Established\r\n\r\n");
  client.send(clientHello({ extensions: [serverNameExtension(authority.split(":")[0] ?? "")] }));
  await expect.poll(() => bench.plain.received.length).toBeGreaterThan(0);
  return client;
}
