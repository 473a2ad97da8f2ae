import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Verdict } from "@sandgate/api/policy";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { clientHello, serverNameExtension } from "./client-hello-bytes.ts";
import { echoRequest } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench, p0, policyOf, type RawClient } from "./proxy-bench.ts";
import { expectReply, expectVerdict } from "./verdict.ts";

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start({ connectionsPerSandbox: 4, idleTimeoutMs: 300, dialTimeoutMs: 500 });
let count = 0;
beforeEach(() => {
  bench.forget();
  bench.plain.behaviour = echoRequest;
});

/** Each test has a sandbox of its own. */
function newId(): string {
  count++;
  return `sbx-${"abcdefghijklmnopqrstuvwxyz"[count]?.repeat(20)}`;
}

const get = (sandbox: BenchSandbox, host = "api.example.test") =>
  `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n${basic(sandbox)}\r\n\r\n`;

/** A tunnel to port 5432, where the origin speaks plain bytes after what looks like TLS. */
async function openTunnel(sandbox: BenchSandbox): Promise<RawClient> {
  const client = await bench.connect(sandbox);
  client.send(`CONNECT api.example.test:5432 HTTP/1.1\r\nHost: api.example.test:5432\r\n${basic(sandbox)}\r\n\r\n`);
  await client.until("\r\n\r\n");
  client.send(clientHello({ extensions: [serverNameExtension("api.example.test")] }));
  await expect.poll(() => bench.plain.received.length).toBeGreaterThan(0);
  client.clear();
  return client;
}

describe("policies", () => {
  it("A tunnel is cut within a second of a policy that forbids it (I19), and lives on under one that does not", async () => {
    const sandbox = await bench.addSandbox(newId());
    const tunnel = await openTunnel(sandbox);
    const kept = bench.control.setPolicy(
      sandbox.id,
      policyOf({ name: "odd", hosts: ["api.example.test"], ports: [5432] }),
    );
    await bench.control.enforced(sandbox.id, kept);
    expect(tunnel.socket.destroyed).toBe(false);
    const changedAt = performance.now();
    bench.control.setPolicy(sandbox.id, policyOf("other.example.test"));
    await tunnel.closed;
    expect(performance.now() - changedAt).toBeLessThan(1000);
    const cut = await bench.control.decision((one) => one.sandboxId === sandbox.id && one.duration !== undefined);
    expect(cut).toMatchObject({ verdict: Verdict.ALLOWED, reason: "policy_changed" });
  });

  it("a change is enforced within 250 ms, and the same request passes", async () => {
    const sandbox = await bench.addSandbox(newId());
    bench.dns.set("new.example.test", { addresses: ["93.184.216.34"] });
    await expectVerdict(bench, sandbox, get(sandbox, "new.example.test"), "D(host_not_allowed) noDNS");
    const changedAt = performance.now();
    const revision = bench.control.setPolicy(sandbox.id, policyOf("new.example.test"));
    const { enforceTime } = await bench.control.enforced(sandbox.id, revision);
    expect(performance.now() - changedAt).toBeLessThan(250);
    expect(enforceTime).toBeDefined();
    await expectVerdict(bench, sandbox, get(sandbox, "new.example.test"), "ALLOW");
  });

  it("a denial names the revision that denied", async () => {
    const sandbox = await bench.addSandbox(newId());
    const revision = bench.control.setPolicy(sandbox.id, policyOf("other.example.test"));
    await bench.control.enforced(sandbox.id, revision);
    await expectVerdict(bench, sandbox, get(sandbox), "D(host_not_allowed) noDNS");
    const denied = await bench.control.decision((one) => one.sandboxId === sandbox.id);
    expect(denied).toMatchObject({ verdict: Verdict.DENIED, policyRevision: revision });
  });

  it("R10: a revision that cannot be compiled is reported, and the good one stays", async () => {
    const sandbox = await bench.addSandbox(newId());
    const rule = { name: "bad", action: 1, hosts: ["*"], ports: [], allowedIps: [] };
    bench.control.setPolicy(sandbox.id, { rules: [rule] });
    const status = await bench.control.enforcement((one) => one.sandboxId === sandbox.id && one.fault !== "");
    expect(status).toMatchObject({ revision: 1n, fault: "bad: hosts: not a host in canonical form" });
    await expectVerdict(bench, sandbox, get(sandbox), "ALLOW");
  });

  it("a sandbox whose policy is removed has no way out, and its socket is gone", async () => {
    const sandbox = await bench.addSandbox(newId());
    const tunnel = await openTunnel(sandbox);
    bench.control.removePolicy(sandbox.id);
    await tunnel.closed;
    await expect.poll(() => statSync(sandbox.path, { throwIfNoEntry: false })).toBeUndefined();
  });

  it("keep-alive: a request after the change is decided by it (C.4)", async () => {
    const sandbox = await bench.addSandbox(newId());
    const client = await bench.connect(sandbox);
    client.send(get(sandbox));
    expect((await client.reply()).status).toBe(200);
    const revision = bench.control.setPolicy(sandbox.id, policyOf("other.example.test"));
    await bench.control.enforced(sandbox.id, revision);
    client.clear();
    client.send(get(sandbox));
    expect((await client.reply()).headers.get("x-deny-reason")).toBe("host_not_allowed");
  });

  it("R11: streams that break are taken up again where they stopped", async () => {
    const sandbox = await bench.addSandbox(newId());
    bench.control.breakStreams();
    const revision = bench.control.setPolicy(sandbox.id, policyOf("other.example.test"));
    await bench.control.enforced(sandbox.id, revision);
    await expectVerdict(bench, sandbox, get(sandbox), "D(host_not_allowed) noDNS");
  });
});

describe("channels", () => {
  it("open to everyone who reaches the directory, and nobody else", async () => {
    const sandbox = await bench.addSandbox(newId());
    expect(statSync(sandbox.path).mode & 0o7777).toBe(0o666);
  });

  it("wait for their directory, and say so", async () => {
    const id = newId();
    bench.control.setPolicy(id, p0);
    const fault = await bench.control.enforcement((one) => one.sandboxId === id && one.fault !== "");
    expect(fault.revision).toBe(0n);
    mkdirSync(join(bench.directory, id));
    await bench.control.enforced(id, 1n);
  });

  it("take the place of a socket that was left behind", async () => {
    const id = newId();
    const path = join(bench.directory, id, "egress.sock");
    mkdirSync(join(bench.directory, id));
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen(path, resolve));
    const sandbox = await bench.addSandbox(id);
    await expectVerdict(bench, sandbox, get(sandbox), "ALLOW");
    await new Promise<void>((resolve) => stale.close(() => resolve()));
  });

  it.each([
    ["a file", (path: string) => writeFileSync(path, "")],
    ["a link", (path: string) => symlinkSync("/tmp", path)],
  ])("never remove %s that is in their place", async (_what, put) => {
    const id = newId();
    mkdirSync(join(bench.directory, id));
    put(join(bench.directory, id, "egress.sock"));
    bench.control.setPolicy(id, p0);
    await bench.control.enforcement((one) => one.sandboxId === id && one.fault !== "");
    expect(statSync(join(bench.directory, id, "egress.sock")).isSocket()).toBe(false);
    bench.control.removePolicy(id);
  });

  it("open anew when their directory was removed and made again", async () => {
    const sandbox = await bench.addSandbox(newId());
    rmSync(join(bench.directory, sandbox.id), { recursive: true });
    mkdirSync(join(bench.directory, sandbox.id));
    await expect
      .poll(() => statSync(sandbox.path, { throwIfNoEntry: false })?.isSocket(), { timeout: 5000 })
      .toBe(true);
    await expectVerdict(bench, sandbox, get(sandbox), "ALLOW");
  });

  it("never open for an id that is none", async () => {
    bench.control.setPolicy("../evil", p0);
    await bench.control.enforcement((one) => one.sandboxId === "../evil" && one.fault !== "");
    bench.control.removePolicy("../evil");
  });
});

describe("limits", () => {
  it("R01: one sandbox's connections are capped, another's are not", async () => {
    const sandbox = await bench.addSandbox(newId());
    const other = await bench.addSandbox(newId());
    const open = await Promise.all([1, 2, 3, 4].map(() => bench.connect(sandbox)));
    const refused = await bench.connect(sandbox);
    const reply = await refused.reply();
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([429, "1"]);
    await expectReply(bench, sandbox, reply, "E429(quota_exceeded) noDNS");
    await expectVerdict(bench, other, get(other), "ALLOW");
    for (const client of open) client.socket.destroy();
  });

  it("R02: an idle tunnel is closed, with a record of its bytes", async () => {
    const sandbox = await bench.addSandbox(newId());
    const tunnel = await openTunnel(sandbox);
    await tunnel.closed;
    const ended = await bench.control.decision((one) => one.sandboxId === sandbox.id && one.duration !== undefined);
    expect(ended).toMatchObject({ verdict: Verdict.ALLOWED, reason: "" });
    expect(ended.sentBytes).toBe(BigInt(bench.plain.received[0]?.length ?? 0));
  });

  it("R04: a client that has said all still hears all", async () => {
    const sandbox = await bench.addSandbox(newId());
    bench.plain.behaviour = () => undefined;
    const tunnel = await openTunnel(sandbox);
    bench.plain.behaviour = (socket) => {
      socket.removeAllListeners("end");
      socket.once("end", () => {
        socket.write("late, ");
        setImmediate(() => socket.end("and whole"));
      });
    };
    tunnel.send("\r\n\r\n");
    await expect.poll(() => bench.plain.received[0]?.endsWith("\r\n\r\n")).toBe(true);
    tunnel.socket.end();
    await tunnel.closed;
    expect(tunnel.text).toBe("late, and whole");
  });

  it("R05: nothing is left of a client that goes away during the dial", async () => {
    const sandbox = await bench.addSandbox(newId());
    const connections = async () =>
      (await bench.registry.getSingleMetric("sandgate_egress_connections")?.get())?.values[0]?.value;
    const before = await connections();
    bench.dns.set("api.example.test", { addresses: ["93.184.216.99"] });
    bench.silentAddresses.add("93.184.216.99");
    const client = await bench.connect(sandbox);
    client.send(get(sandbox));
    await expect.poll(() => bench.dials.length).toBe(1);
    client.socket.destroy();
    bench.dns.set("api.example.test", { addresses: ["93.184.216.34"] });
    const failed = await bench.control.decision((one) => one.sandboxId === sandbox.id);
    expect(failed.verdict).toBe(Verdict.FAILED);
    await expect.poll(connections).toBe(before);
  });

  it("R07: a reader that does not read holds the origin back", async () => {
    const sandbox = await bench.addSandbox(newId());
    let written = 0;
    bench.plain.behaviour = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
      const part = Buffer.alloc(1 << 20);
      const more = (): void => {
        while (!socket.destroyed && written < 1_000_000_000) {
          written += part.length;
          if (!socket.write(part)) return void socket.once("drain", more);
        }
      };
      more();
    };
    const client = await bench.connect(sandbox);
    client.socket.pause();
    client.send(get(sandbox));
    await expect.poll(() => written).toBeGreaterThan(1_000_000);
    await bench.control.decision((one) => one.sandboxId === sandbox.id && one.duration !== undefined); // idle
    expect(written).toBeLessThan(50_000_000);
  });

  it("a destination that does not answer is 504, and one that refuses is 502", async () => {
    const sandbox = await bench.addSandbox(newId());
    bench.silentAddresses.add("93.184.216.99");
    bench.refusingAddresses.add("93.184.216.98");
    bench.dns.set("api.example.test", { addresses: ["93.184.216.99"] });
    await expectVerdict(bench, sandbox, get(sandbox), "E504(upstream_timeout)");
    bench.dns.set("api.example.test", { addresses: ["93.184.216.98"] });
    await expectVerdict(bench, sandbox, get(sandbox), "E502(upstream_failed)");
    bench.forget();
    bench.dns.set("api.example.test", { addresses: ["93.184.216.98", "93.184.216.34"] });
    const client = await bench.connect(sandbox);
    client.send(get(sandbox));
    expect((await client.reply()).status).toBe(200);
    bench.dns.set("api.example.test", { addresses: ["93.184.216.34"] });
  });
});

describe("what is reported", () => {
  it("R14: decisions wait while the Policy service is down, and arrive in sequence", async () => {
    const sandbox = await bench.addSandbox(newId());
    bench.control.up = false;
    const client = await bench.connect(sandbox);
    client.send(get(sandbox, "evil.test"));
    const id = (await client.reply()).headers.get("x-sandgate-decision");
    await expect.poll(() => bench.log.some((line) => line.includes("decisions could not be reported"))).toBe(true);
    expect(bench.control.decisions.some(({ decisionId }) => decisionId === id)).toBe(false);
    bench.control.up = true;
    await bench.control.decision(({ decisionId }) => decisionId === id);
    const firsts = bench.control.reports.map(({ first }) => first);
    expect(firsts).toEqual(firsts.toSorted((a, b) => Number(a - b)));
  });

  it("R13: each log line is one JSON object, whatever a request holds", async () => {
    const sandbox = await bench.addSandbox(newId());
    for (const bytes of [
      'GET http://evil.test/\x1b[31m"\\n HTTP/1.1\r\nHost: evil.test\r\nUser-Agent: "\\u001b[2J\x1b\r\n\r\n',
      `${get(sandbox, "evil.test").replace("/ HTTP", '/%0a"{}\u0085 HTTP')}`,
      `${get(sandbox, 'evil"\n{"level":"fatal"}.test')}`,
    ]) {
      const client = await bench.connect(sandbox);
      client.send(bytes);
      await client.closed;
    }
    for (const line of bench.log) {
      expect(line.trimEnd()).not.toMatch(/[^ -~]/);
      JSON.parse(line);
    }
  });

  it("R17: metrics have a series for each reason, and none for a host", async () => {
    const sandbox = await bench.addSandbox(newId());
    for (let index = 0; index < 20; index++) {
      const client = await bench.connect(sandbox);
      client.send(get(sandbox, `h${index}.evil.test`));
      await client.closed;
    }
    const text = await bench.registry.metrics();
    expect(text).toMatch(/sandgate_egress_decisions_total\{verdict="denied",reason="host_not_allowed"\} \d+/);
    expect(text).not.toMatch(/evil|example|sbx-/);
  });

  it("a denial says in words and as data how to ask for access", async () => {
    const sandbox = await bench.addSandbox(newId());
    const reply = await expectVerdict(bench, sandbox, get(sandbox, "evil.test"), "D(host_not_allowed) noDNS");
    expect(reply.headers.get("content-type")).toBe("application/problem+json");
    expect(JSON.parse(reply.body)).toMatchObject({
      status: 403,
      reason: "host_not_allowed",
      host: "evil.test",
      port: 80,
      decision_id: reply.headers.get("x-sandgate-decision"),
      how_to_ask: expect.stringContaining(`sandgate policy propose ${sandbox.id} --decision dec-`),
    });
  });
});
