import { expect, it } from "vitest";
import { findJump, iptablesNames, renderChain, renderSetChanges, renderSets } from "./iptables-rules.ts";

const names = iptablesNames("default");
const guard = { ports: [{ protocol: "tcp", port: 443 }], device: undefined } as const;

it("has names that the kernel takes, of whatever instance, and others for others", () => {
  const [long, other] = [iptablesNames(`${"a".repeat(31)}b`), iptablesNames("a".repeat(32))];
  expect(names).toEqual({ chain: "sandgt_default", sets: { 4: "sandgt4_default", 6: "sandgt6_default" } });
  expect(long.chain.length).toBeLessThanOrEqual(28);
  expect(long.sets[6].length).toBeLessThanOrEqual(31);
  expect(long.chain).not.toBe(other.chain);
});

it("EW-06: empties no chain and no set but its own", () => {
  expect(renderSets(names).filter((command) => !/^(create|flush) sandgt[46]_default\b/.test(command))).toEqual([]);
  const commands = renderChain(names, 4, guard, "behind").split("\n").slice(1, -2);
  expect(commands.filter((command) => !command.includes("sandgt_default"))).toEqual([]);
});

it("EW-01: lets in what has a lease, by address alone, and drops the rest", () => {
  expect(renderChain(names, 6, { ...guard, device: "net1" }, "missing")).toBe(`*mangle
:sandgt_default - [0:0]
-A sandgt_default -i lo -j RETURN
-A sandgt_default ! -i net1 -j RETURN
-A sandgt_default -p tcp --dport 443 -m conntrack --ctstate INVALID -j DROP
-A sandgt_default -m set --match-set sandgt6_default src -j RETURN
-A sandgt_default -p tcp --dport 443 -j DROP
-I INPUT 1 -j sandgt_default
COMMIT
`);
});

it.each([
  ["missing", "-P INPUT ACCEPT\n-A INPUT -p tcp -j ACCEPT\n"],
  ["missing", "-A INPUT -j sandgt_default_not\n"],
  ["behind", "-P INPUT ACCEPT\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -j sandgt_default\n"],
  ["first", "-P INPUT ACCEPT\n-A INPUT -j sandgt_default\n-A INPUT -p tcp -j ACCEPT\n"],
  ["first", "-P INPUT ACCEPT\n-A INPUT -j sandgt_two\n-A INPUT -j sandgt_default\n"],
] as const)("finds its jump: %s", (place, listing) => {
  expect(findJump(names, listing)).toBe(place);
});

it("EW-05: shuts out before it lets in, and lets nobody in for ever", () => {
  const at = (text: string) => ({ family: 4, text }) as const;
  const changes = [
    { address: at("192.0.2.1"), leftMs: 0.5 },
    { address: at("192.0.2.2"), leftMs: undefined },
    { address: { family: 6, text: "2001:db8::1" } as const, leftMs: 1_001 },
  ];
  expect(renderSetChanges(names, changes)).toEqual([
    "del sandgt4_default 192.0.2.2",
    "add sandgt4_default 192.0.2.1 timeout 1",
    "add sandgt6_default 2001:db8::1 timeout 2",
  ]);
});
