import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "./address.ts";
import { vetAddress } from "./address-reach.ts";
import { parseAuthoredPolicy } from "./authored-policy.ts";
import { compilePolicy } from "./compile.ts";
import { decide } from "./decide.ts";
import { simulate } from "./simulate.ts";
import { parseWireHost } from "./wire-host.ts";

function compiled(rules: readonly unknown[], mode = "enforce") {
  const check = parseAuthoredPolicy({ mode, rules });
  if (!check.ok) throw new TypeError("the policy has faults");
  return compilePolicy(check.policy);
}

const at = (host: string, port = 443, address = "", count = 1) => ({ host, port, address, count });

describe("a simulation", () => {
  it("names what a candidate newly allows and newly denies, and the rules that nothing on record needs", () => {
    const simulation = simulate(
      compiled([{ name: "old", hosts: ["old.test"] }, "both.test"]),
      compiled([
        { name: "new", hosts: ["new.test"] },
        "both.test",
        { name: "idle", hosts: ["idle.test"] },
        { name: "no", action: "deny", hosts: ["no.test"] },
      ]),
      [at("old.test", 443, "93.184.216.34", 3), at("new.test", 443, "", 7), at("both.test"), at("neither.test")],
      0,
    );
    expect(simulation).toEqual({
      decisions: 12,
      newlyAllowed: [{ ...at("new.test", 443, "", 7), before: "deny", after: "allow", rule: "new" }],
      newlyDenied: [{ ...at("old.test", 443, "93.184.216.34", 3), before: "allow", after: "deny", rule: "" }],
      unusedRules: ["idle", "no"],
    });
  });

  it("counts a rule as used that forbids, and not one that merely names the host of another port", () => {
    const candidate = compiled([
      { name: "no", action: "deny", hosts: ["no.test"] },
      { name: "near", hosts: ["near.test"] },
    ]);
    expect(simulate(candidate, candidate, [at("no.test"), at("near.test", 22)], 0).unusedRules).toEqual(["near"]);
  });

  it("judges the address that was dialled, as the proxy does of what is open", () => {
    const open = compiled([{ name: "in", hosts: ["in.test"], allowed_ips: ["10.0.0.0/8"] }]);
    const shut = compiled([{ name: "in", hosts: ["in.test"] }]);
    const { newlyDenied } = simulate(open, shut, [at("in.test", 443, "10.1.1.1"), at("in.test")], 0);
    expect(newlyDenied).toEqual([{ ...at("in.test", 443, "10.1.1.1"), before: "allow", after: "deny", rule: "in" }]);
  });

  it("says that a tunnel to 443 is newly denied where only requests are allowed", () => {
    const before = compiled(["web.test"]);
    const after = compiled([{ name: "web", hosts: ["web.test"], methods: ["GET"] }]);
    const recorded = [
      { ...at("web.test"), tunnel: true },
      { ...at("web.test", 80), tunnel: false },
    ];
    expect(simulate(before, after, recorded, 0).newlyDenied).toMatchObject([{ port: 443, rule: "web" }]);
  });

  it("tells apart what is observed from what is allowed and what is denied", () => {
    const observe = compiled(["known.test"], "observe");
    const strict = compiled(["known.test"]);
    const wider = compiled(["known.test", "new.test"], "observe");
    expect(simulate(observe, strict, [at("new.test"), at("known.test")], 0).newlyDenied).toMatchObject([
      { host: "new.test", before: "would_deny", after: "deny" },
    ]);
    expect(simulate(observe, wider, [at("new.test")], 0).newlyAllowed).toMatchObject([
      { host: "new.test", before: "would_deny", after: "allow" },
    ]);
  });

  it("reads IPv6 addresses as they are recorded, and passes over what is no destination", () => {
    const candidate = compiled([{ name: "six", allowed_ips: ["fd12::/16"] }]);
    const simulation = simulate(compiled([]), candidate, [at("fd12::1"), at("no host"), at("", 0)], 0);
    expect(simulation).toMatchObject({ decisions: 1, newlyAllowed: [{ host: "fd12::1" }] });
  });

  it("says what the engine of the proxy says, whatever the policies and destinations", () => {
    const name = fc.constantFrom("a.test", "b.a.test", "c.b.a.test", "d.test", "localhost", "metadata.google.internal");
    const address = fc.constantFrom("10.1.1.1", "93.184.216.34", "192.168.1.1", "fd12::1");
    const rule = fc.record({
      action: fc.constantFrom("allow", "deny"),
      hosts: fc.subarray(["a.test", "*.a.test", "*.b.a.test", "d.test"], { minLength: 1 }),
      ports: fc.subarray([80, 443, 8443]),
      allowed_ips: fc.subarray(["10.0.0.0/8", "192.168.0.0/16", "fd12::/16"]),
      expire_time: fc.constantFrom(undefined, "2030-01-01T00:00:00Z"),
    });
    const policy = fc.tuple(fc.array(rule, { maxLength: 5 }), fc.constantFrom("observe", "enforce"));
    const recorded = fc.record({
      host: fc.oneof(name, address),
      port: fc.constantFrom(80, 443, 8443),
      address: fc.oneof(fc.constant(""), address),
      count: fc.constant(1),
    });
    const compile = ([rules, mode]: [Record<string, unknown>[], string]) =>
      compiled(
        rules.map(({ action, allowed_ips, expire_time, ...rest }) =>
          action === "deny" ? { ...rest, action } : { ...rest, allowed_ips, expire_time },
        ),
        mode,
      );
    const now = fc.constantFrom(Date.parse("2029-12-31T23:59:59Z"), Date.parse("2030-01-01T00:00:00Z"));
    fc.assert(
      fc.property(policy, policy, fc.array(recorded, { maxLength: 8 }), now, (before, after, record, nowMs) => {
        const [current, candidate] = [compile(before), compile(after)];
        const { newlyAllowed, newlyDenied } = simulate(current, candidate, record, nowMs);
        const live = (policy: typeof current, { host, port, address }: (typeof record)[number]) => {
          const parsed = parseWireHost(host) ?? parseWireHost(`[${host}]`);
          if (parsed === undefined) throw new TypeError(host);
          const verdict = decide(policy, { host: parsed, port }, nowMs);
          const dialled = parseAddress(address);
          if (verdict.verdict === "deny" || dialled === undefined) return verdict.verdict;
          return vetAddress(verdict.allowedRanges, dialled) ? verdict.verdict : "deny";
        };
        const expected = record
          .map((one) => ({ host: one.host, before: live(current, one), after: live(candidate, one) }))
          .filter((one) => one.before !== one.after);
        expect([...newlyAllowed, ...newlyDenied].map(({ host, before, after }) => ({ host, before, after }))).toEqual(
          expect.arrayContaining(expected),
        );
        expect(newlyAllowed.length + newlyDenied.length).toBe(expected.length);
        const rank = ["deny", "would_deny", "allow"];
        for (const one of newlyAllowed) expect(rank.indexOf(one.after)).toBeGreaterThan(rank.indexOf(one.before));
        for (const one of newlyDenied) expect(rank.indexOf(one.after)).toBeLessThan(rank.indexOf(one.before));
      }),
      { numRuns: 1_000 },
    );
  });
});
