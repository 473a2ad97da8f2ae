import { Verdict } from "@sandgate/api/policy";
import { policyMode } from "@sandgate/policy";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { clientHello, serverNameExtension } from "./client-hello-bytes.ts";
import { echoRequest } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench, policyOf, publicAddress } from "./proxy-bench.ts";
import { expectVerdict } from "./verdict.ts";

const policy = policyOf(
  { name: "rest", hosts: ["rest.example.test"], ports: [80, 443, 8080], methods: ["GET"], paths: ["/v1/**"] },
  { name: "api", hosts: ["api.example.test"], ports: [80, 443] },
  { name: "no-deletes", action: "deny", hosts: ["api.example.test"], ports: [80], methods: ["DELETE"] },
  { name: "no-reads", action: "deny", hosts: ["a.wild.example.test"], methods: ["GET"] },
  { name: "wild", hosts: ["*.wild.example.test"], ports: [80, 443] },
  { name: "ssh", hosts: ["ssh.example.test"], ports: [22], protocol: "tcp" },
  { name: "plain", hosts: ["plain.example.test"], ports: [8080], protocol: "http" },
);

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start({ firstBytesTimeoutMs: 400 });
for (const name of ["ssh", "plain"]) bench.dns.set(`${name}.example.test`, { addresses: [publicAddress] });
const s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa", policy);
const s2 = await bench.addSandbox("sbx-bbbbbbbbbbbbbbbbbbbb", { ...policy, mode: policyMode.observe });
beforeEach(() => {
  bench.forget();
  bench.plain.behaviour = echoRequest;
});

const request = (method: string, target: string, sandbox: BenchSandbox = s1): string =>
  `${method} ${target} HTTP/1.1\r\nHost: ${new URL(target).host}\r\n${basic(sandbox)}\r\n\r\n`;
const connectTo = (authority: string, sandbox: BenchSandbox = s1): string =>
  `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${basic(sandbox)}\r\n\r\n`;
const rest = "http://rest.example.test";

async function openTunnel(authority: string, sandbox: BenchSandbox = s1) {
  const client = await bench.connect(sandbox);
  client.send(connectTo(authority, sandbox));
  expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
  client.clear();
  return client;
}

describe("methods and paths of a rule", () => {
  it.each([
    ["C55", request("GET", `${rest}/v1/models`), "ALLOW"],
    ["C55", request("HEAD", `${rest}/v1/models`), "ALLOW"],
    ["C55", request("POST", `${rest}/v1/models`), "D(method_not_allowed) noDNS"],
    ["C55", request("HEAD", "http://a.wild.example.test/"), "D(method_not_allowed) noDNS"],
    ["C55", request("GET", "http://a.wild.example.test/"), "D(method_not_allowed) noDNS"],
    ["C55", request("PUT", "http://a.wild.example.test/"), "ALLOW"],
    ["C55", request("DELETE", "http://api.example.test/x"), "D(method_not_allowed) noDNS"],
    [
      "C56",
      `GET ${rest}/v1/../admin HTTP/1.1\r\nHost: rest.example.test\r\n${basic(s1)}\r\n\r\n`,
      "D(path_not_allowed) noDNS",
    ],
    [
      "C56",
      `GET ${rest}/v1/%2e%2e/x HTTP/1.1\r\nHost: rest.example.test\r\n${basic(s1)}\r\n\r\n`,
      "D(path_not_allowed) noDNS",
    ],
    [
      "C56",
      `GET ${rest}/v1//x HTTP/1.1\r\nHost: rest.example.test\r\n${basic(s1)}\r\n\r\n`,
      "D(path_not_allowed) noDNS",
    ],
    ["C56", request("GET", `${rest}/admin`), "D(path_not_allowed) noDNS"],
    ["C58", request("GET", `${rest}/v1/x?next=/admin`), "ALLOW"],
    ["C58", request("GET", `${rest}/admin?next=/v1/x`), "D(path_not_allowed) noDNS"],
    ["C58", `GET ${rest}/v1/x#/admin HTTP/1.1\r\nHost: rest.example.test\r\n${basic(s1)}\r\n\r\n`, "E400 noDNS"],
  ])("%s: %j is %s", async (_id, bytes, verdict) => {
    if (bytes.startsWith("HEAD") && verdict === "ALLOW")
      bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    if (bytes.startsWith("HEAD") && verdict !== "ALLOW") return expectDeniedHead(bytes, verdict);
    await expectVerdict(bench, s1, bytes, verdict);
  });

  /** Its answer has no body, and says the length of the one that there would be. */
  async function expectDeniedHead(bytes: string, verdict: string): Promise<void> {
    const client = await bench.connect(s1);
    client.send(bytes);
    expect(await client.until("\r\n\r\n")).toContain(`x-deny-reason: ${/\(([a-z_]+)\)/.exec(verdict)?.[1]}`);
    expect(bench.dials).toEqual([]);
  }

  it("C34, C55: each request of a connection is decided by its own method and path", async () => {
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    const client = await bench.connect(s1);
    client.send(request("GET", `${rest}/v1/a`) + request("POST", `${rest}/v1/a`));
    expect(await client.until("x-deny-reason: method_not_allowed")).toMatch(/^HTTP\/1\.1 200 /);
    await client.closed;
    expect(bench.plain.received.join("")).not.toContain("POST");
  });

  it("hold inside a tunnel, where plain HTTP follows", async () => {
    const client = await openTunnel("rest.example.test:8080");
    client.send("GET /v1/a HTTP/1.1\r\nHost: rest.example.test:8080\r\n\r\n");
    await client.until("GET /v1/a");
    const other = await openTunnel("rest.example.test:8080");
    other.send("POST /v1/a HTTP/1.1\r\nHost: rest.example.test:8080\r\n\r\n");
    expect(await other.until("\r\n\r\n")).toContain("x-deny-reason: method_not_allowed");
    client.socket.destroy();
  });

  it.each([
    ["a port where nothing but TLS can follow", "rest.example.test:443"],
    ["a host of which a method is denied", "a.wild.example.test:443"],
  ])("TLS, into which nobody can look, is refused before it begins: %s", async (_what, authority) => {
    await expectVerdict(bench, s1, connectTo(authority), "D(protocol_not_allowed) noDNS");
  });

  it("TLS in a tunnel in which only requests are allowed is cut before a byte of it goes on", async () => {
    const client = await openTunnel("rest.example.test:8080");
    client.send(clientHello({ extensions: [serverNameExtension("rest.example.test")] }));
    await client.closed;
    expect([...bench.plain.received, ...bench.tls.received].join("")).toBe("");
    await bench.control.decision(
      (one) => one.reason === "protocol_not_allowed" && one.rule === "rest" && one.port === 8080,
    );
  });

  it("a policy that observes lets it through and says what would have been denied", async () => {
    const client = await openTunnel("rest.example.test:8080", s2);
    const hello = clientHello({ extensions: [serverNameExtension("rest.example.test")] });
    client.send(hello);
    await expect.poll(() => bench.plain.received[0]?.length).toBe(hello.length);
    const found = await bench.control.decision((one) => one.sandboxId === s2.id && one.verdict === Verdict.WOULD_DENY);
    expect(found).toMatchObject({ reason: "protocol_not_allowed", rule: "rest", method: "CONNECT" });
    client.socket.destroy();
    bench.forget();
    await expectVerdict(bench, s2, request("POST", `${rest}/v1/a`, s2), "ALLOW");
    bench.forget();
    await expectVerdict(bench, s2, request("DELETE", "http://api.example.test/", s2), "D(method_not_allowed) noDNS");
  });

  it("a request that the next policy does not allow is cut, though its host stays allowed", async () => {
    bench.plain.behaviour = (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
    const client = await bench.connect(s1);
    client.send(request("GET", `${rest}/v1/slow`));
    await client.until("some");
    const next = policyOf({ name: "rest", hosts: ["rest.example.test"], methods: ["POST"] });
    await bench.control.enforced(s1.id, bench.control.setPolicy(s1.id, next));
    await client.closed;
    await bench.control.decision((one) => one.reason === "policy_changed");
    await bench.control.enforced(s1.id, bench.control.setPolicy(s1.id, policy));
  });
});

describe("the protocol of a rule", () => {
  it("tcp: bytes that are neither TLS nor HTTP pass, and are not looked at", async () => {
    const client = await openTunnel("ssh.example.test:22");
    client.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    await client.until("SSH-2.0-OpenSSH_9.2"); // as the origin saw it
    expect(bench.dials).toEqual([`${publicAddress}:22`]);
    client.socket.destroy();
  });

  it("http: a request passes, TLS does not", async () => {
    await expectVerdict(bench, s1, request("GET", "http://plain.example.test:8080/"), "ALLOW");
    bench.forget();
    const client = await openTunnel("plain.example.test:8080");
    client.send(clientHello({ extensions: [serverNameExtension("plain.example.test")] }));
    await client.closed;
    expect(bench.plain.received.join("")).toBe("");
  });
});
