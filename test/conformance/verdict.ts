import { Verdict } from "@sandgate/api/policy";
import { expect } from "vitest";
import type { BenchSandbox, ProxyBench, Reply } from "./proxy-bench.ts";

/**
 * Sends bytes on a sandbox's channel and expects a verdict of the requirement's vocabulary: `ALLOW` (2xx and one dial),
 * `D(reason)` (403), `E<status>` or `E<status>(reason)`, each optionally followed by noDNS. What holds for every denial is
 * checked for every denial: no dial, nothing for the origin, a decision reported with the same reason, the connection
 * closed, and no token in what was answered, reported or logged.
 */
export async function expectVerdict(
  bench: ProxyBench,
  sandbox: BenchSandbox,
  bytes: string | Uint8Array,
  verdict: string,
): Promise<Reply> {
  const client = await bench.connect(sandbox);
  client.send(bytes);
  const reply = await client.reply();
  await expectReply(bench, sandbox, reply, verdict);
  if (verdict === "ALLOW") {
    expect(bench.dials).toHaveLength(1);
    client.socket.destroy();
  } else await client.closed;
  return reply;
}

/** Checks one answer, and what was recorded beside it. */
export async function expectReply(
  bench: ProxyBench,
  sandbox: BenchSandbox,
  reply: Reply,
  verdict: string,
): Promise<void> {
  const [, kind = "", reason] = /^(ALLOW|D|E[0-9]{3})(?:\(([a-z_*]+)\))?( noDNS)?$/.exec(verdict) ?? [];
  if (kind === "ALLOW") {
    expect(reply.status, reply.body).toBe(200);
    return;
  }
  const header = kind === "D" || kind === "E407" || kind === "E429" ? "x-deny-reason" : "x-proxy-error";
  const said = reply.headers.get(header);
  expect(reply.status, reply.body).toBe(kind === "D" ? 403 : Number(kind.slice(1)));
  expect(said).toEqual(reason === undefined || reason === "*" ? expect.any(String) : reason);
  expect(reply.headers.get("cache-control")).toBe("no-store");
  if (kind !== "E502" && kind !== "E504") expect(bench.dials).toEqual([]);
  if (verdict.endsWith("noDNS")) expect(bench.dns.queries).toEqual([]);
  expect([...bench.plain.received, ...bench.tls.received].join("")).toBe("");
  const decisionId = reply.headers.get("x-sandgate-decision");
  const decision = await bench.control.decision((one) => one.decisionId === decisionId);
  expect(decision).toMatchObject({ sandboxId: sandbox.id, reason: said });
  expect([Verdict.DENIED, Verdict.FAILED]).toContain(decision.verdict);
  expect(reply.body + JSON.stringify(bench.log)).not.toContain(sandbox.token.slice(0, 60));
}
