import { Verdict } from "@sandgate/api/policy";
import { compilePolicy, policyMode, simulate } from "@sandgate/policy";
import { afterAll, beforeEach, expect, it } from "vitest";
import { echoRequest } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench, p0, publicAddress } from "./proxy-bench.ts";

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start();
bench.dns.set("priv.example.test", { addresses: ["10.9.1.2"] });
bench.dns.set("new.example.test", { addresses: [publicAddress] });
beforeEach(() => {
  bench.forget();
  bench.plain.behaviour = echoRequest;
});

const nothing = compilePolicy({ rules: [] });
const simulated = { allow: Verdict.ALLOWED, would_deny: Verdict.WOULD_DENY, deny: Verdict.DENIED } as const;

const get = (sandbox: BenchSandbox, authority: string) =>
  `GET http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\n${basic(sandbox)}\r\n\r\n`;

it.each([
  ["enforces", "e", { rules: p0.rules }],
  ["observes", "o", { rules: p0.rules, mode: policyMode.observe }],
] as const)("the simulator says what the live proxy did under a policy that %s", async (_mode, letter, policy) => {
  const sandbox = await bench.addSandbox(`sbx-${letter.repeat(20)}`, { ...policy, rules: [...policy.rules] });
  for (const authority of [
    "api.example.test",
    "API.example.test.:80",
    "api.example.test:5432",
    "api.example.test:22",
    "rest.example.test",
    "a.wild.example.test",
    "a.wild.example.test:443",
    "secret.wild.example.test:443",
    "priv.example.test:443",
    "priv.example.test",
    "new.example.test",
    "10.9.1.2:443",
    "10.8.1.2",
    publicAddress,
    "127.0.0.1",
    "169.254.169.254",
    "[::1]",
    "metadata.google.internal",
  ]) {
    const client = await bench.connect(sandbox);
    client.send(get(sandbox, authority));
    const reply = await client.reply();
    client.socket.destroy();
    const decision = await bench.control.decision(
      (one) => one.sandboxId === sandbox.id && one.duration !== undefined && matches(one, authority),
    );
    const { host, port, address, verdict, reason } = decision;
    const { newlyAllowed } = simulate(nothing, compilePolicy(policy), [{ host, port, address, count: 1 }], Date.now());
    const after = simulated[newlyAllowed[0]?.after ?? "deny"];
    // where a name's addresses were refused, the simulator knows of none
    if (reason === "ip_not_allowed" && address === "" && /[a-z]/.test(host)) continue;
    expect(`${authority} ${Verdict[after]}`).toBe(`${authority} ${Verdict[verdict]}`);
    expect(reply.status === 403, authority).toBe(after === Verdict.DENIED);
  }
});

function matches({ host, port }: { host: string; port: number }, authority: string): boolean {
  const [, name = "", written = "80"] = /^(.*?)(?::([0-9]+))?$/.exec(authority.replace(/^\[(.*)\]$/, "$1~")) ?? [];
  return host === name.toLowerCase().replace(/[.~]$/, "") && port === Number(written);
}
