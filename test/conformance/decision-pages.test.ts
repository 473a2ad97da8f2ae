import { Verdict } from "@sandgate/api/policy";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { clientHello, serverNameExtension } from "./client-hello-bytes.ts";
import { type BenchSandbox, basic, ProxyBench, policyOf } from "./proxy-bench.ts";

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start();
const policy = policyOf(
  { name: "api", hosts: ["api.example.test"] },
  { name: "secret", action: "deny", hosts: ["secret.example.test"] },
);
const s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa", policy);
const s2 = await bench.addSandbox("sbx-bbbbbbbbbbbbbbbbbbbb", policy);
beforeEach(() => bench.forget());

async function send(sandbox: BenchSandbox, head: string) {
  const client = await bench.connect(sandbox);
  client.send(`${head}\r\n${basic(sandbox)}\r\n\r\n`);
  const reply = await client.reply();
  await client.closed;
  return { ...reply, json: reply.body === "" ? {} : (JSON.parse(reply.body) as Record<string, unknown>) };
}
const get = (sandbox: BenchSandbox, url: string) => send(sandbox, `GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}`);
const pages = "http://decisions.sandgate";

describe("http://decisions.sandgate", () => {
  it.each([
    ["http://evil.test/", "requestable", "host_not_allowed"],
    ["http://api.example.test:8080/", "requestable", "port_not_allowed"],
    ["http://secret.example.test/", "final", "host_not_allowed"],
    ["http://localhost/", "final", "host_not_allowed"],
    ["http://169.254.169.254/latest", "final", "ip_not_allowed"],
  ])("says of %s that it is %s", async (url, outlook, reason) => {
    const { json: refused } = await get(s1, url);
    expect(refused).toMatchObject({ outlook, reason, page: `${pages}/${String(refused["decision_id"])}` });
    const { status, json, headers } = await get(s1, String(refused["page"]));
    expect({ status, json }).toMatchObject({
      status: 200,
      json: {
        decision_id: refused["decision_id"],
        outlook,
        reason,
        host: new URL(url).hostname,
        how_to_ask: expect.any(String),
      },
    });
    expect(json["time"]).toMatch(/^\d{4}-.*Z$/);
    expect([headers.get("content-type"), headers.get("x-content-type-options")]).toEqual([
      "application/json",
      "nosniff",
    ]);
  });

  it("shows a sandbox nothing of another", async () => {
    const { json } = await get(s2, "http://other.test/");
    const page = await get(s1, String(json["page"]));
    expect(page.status).toBe(404);
    expect((await get(s1, `${pages}/`)).body).not.toContain("other.test");
    expect((await get(s2, String(json["page"]))).json).toMatchObject({ host: "other.test" });
  });

  it("lists what a tunnel was cut for, which no answer could say", async () => {
    const client = await bench.connect(s1);
    client.send(`CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n${basic(s1)}\r\n\r\n`);
    await client.until("\r\n\r\n");
    client.send(clientHello({ extensions: [serverNameExtension("evil.test")] }));
    await client.closed;
    const { json } = await get(s1, `${pages}/`);
    const [newest] = json["decisions"] as Record<string, unknown>[];
    expect(newest).toMatchObject({ reason: "sni_mismatch", host: "api.example.test", outlook: "final" });
  });

  it("is read only, needs the sandbox's token, and keeps no more than 256 refusals", async () => {
    expect((await send(s1, `POST ${pages}/ HTTP/1.1\r\nHost: decisions.sandgate\r\ncontent-length: 0`)).status).toBe(
      405,
    );
    const head = await bench.connect(s1);
    head.send(`HEAD ${pages}/ HTTP/1.1\r\nHost: decisions.sandgate\r\n${basic(s1)}\r\n\r\n`);
    await head.closed;
    expect(head.text).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n$/s);
    const client = await bench.connect(s1);
    client.send(`GET ${pages}/ HTTP/1.1\r\nHost: decisions.sandgate\r\n\r\n`);
    expect((await client.reply()).status).toBe(407);
    const { json: first } = await get(s2, "http://first.test/");
    for (let count = 0; count < 256; count += 1) await get(s2, "http://later.test/");
    expect((await get(s2, String(first["page"]))).status).toBe(404);
  });

  it("R13: what a sandbox asked for comes back as JSON alone, and is no decision", async () => {
    const { json } = await get(s1, `${pages}/%3Cscript%3E?x="<b>`);
    expect(json).toEqual({ detail: expect.stringMatching(/^this sandbox/) });
    await get(s1, "http://marker.test/");
    await bench.control.decision((one) => one.host === "marker.test");
    const about = bench.control.decisions.filter((one) => one.host === "decisions.sandgate");
    expect(about.filter(({ verdict }) => verdict !== Verdict.DENIED)).toEqual([]);
  });

  it("opens nothing: a tunnel to it is denied as any other", async () => {
    const { status, json } = await send(s1, "CONNECT decisions.sandgate:443 HTTP/1.1\r\nHost: decisions.sandgate:443");
    expect({ status, json }).toMatchObject({ status: 403, json: { reason: "host_not_allowed" } });
    expect(bench.dials).toEqual([]);
    expect(bench.dns.queries).toEqual([]);
  });
});
