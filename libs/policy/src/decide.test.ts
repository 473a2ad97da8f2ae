import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAuthoredPolicy } from "./authored-policy.ts";
import { compilePolicy, PolicyNotCompiled } from "./compile.ts";
import { decide } from "./decide.ts";
import { parseWireAuthority } from "./wire-host.ts";

function compiled(...rules: unknown[]) {
  const check = parseAuthoredPolicy({ rules });
  if (!check.ok) throw new TypeError(JSON.stringify(check.faults));
  return compilePolicy(check.policy);
}

function verdict(policy: ReturnType<typeof compiled>, text: string): string {
  const authority = parseWireAuthority(text);
  if (authority === undefined) throw new TypeError(text);
  const decision = decide(policy, authority);
  return decision.verdict === "allow" ? `allow ${decision.rule}` : `${decision.reason} ${decision.rule}`.trim();
}

const policy = compiled(
  { name: "api", hosts: ["api.example.test"] },
  { name: "wild", hosts: ["*.wild.example.test"], ports: [443] },
  { name: "secret", action: "deny", hosts: ["secret.wild.example.test"] },
  { name: "admin", action: "deny", hosts: ["*.wild.example.test"], ports: [8443] },
  { name: "odd", hosts: ["odd.wild.example.test"], ports: [8443, 9443] },
  { name: "priv", hosts: ["priv.example.test"], ports: [443], allowed_ips: ["10.9.0.0/16"] },
  { name: "literal", allowed_ips: ["93.184.216.0/24", "fd12::/16"], ports: [5432] },
);

describe("a decision", () => {
  it.each([
    ["A01", "api.example.test:443", "allow api"],
    ["A01", "api.example.test:80", "allow api"],
    ["A02", "API.Example.TEST:443", "allow api"],
    ["A07", "api.example.test.evil.test:443", "host_not_allowed"],
    ["A08", "a.wild.example.test:443", "allow wild"],
    ["A08", "a.b.c.d.e.wild.example.test:443", "allow wild"],
    ["A10", "wild.example.test:443", "host_not_allowed"],
    ["A11", "xwild.example.test:443", "host_not_allowed"],
    ["A13", "SECRET.wild.example.test.:443", "host_not_allowed secret"],
    ["A13", "secret.wild.example.test:9", "host_not_allowed secret"],
    ["A13", "x.secret.wild.example.test:443", "allow wild"],
    ["deny with ports", "odd.wild.example.test:8443", "host_not_allowed admin"],
    ["deny with ports", "odd.wild.example.test:9443", "allow odd"],
    ["A34", "api.example.test:22", "port_not_allowed api"],
    ["A34", "a.wild.example.test:80", "port_not_allowed wild"],
    ["A47", "localhost:443", "host_not_allowed"],
    ["B01", "93.184.216.34:443", "port_not_allowed literal"],
    ["B01", "93.184.216.34:5432", "allow literal"],
    ["B01", "93.184.217.34:443", "host_not_allowed"],
    ["B10", "169.254.169.254:80", "ip_not_allowed"],
    ["B17", "[::1]:443", "ip_not_allowed"],
    ["B19", "[::ffff:10.9.1.2]:443", "ip_not_allowed"],
    ["B40", "10.9.1.2:443", "allow priv"],
    ["B41", "10.8.1.2:443", "host_not_allowed"],
    ["IPv6", "[fd12::1]:5432", "allow literal"],
  ])("%s: %s is %s", (_id, authority, expected) => {
    expect(verdict(policy, authority)).toBe(expected);
  });

  it.each(["localhost:443", "foo.localhost:443", "metadata.google.internal:80"])(
    "A47, B16: %s is denied whatever the policy says",
    (authority) => {
      const wide = compilePolicy({
        rules: [
          { name: "wide", action: 1, hosts: ["localhost", "*.localhost", "*.internal"], ports: [], allowedIps: [] },
        ],
      });
      expect(verdict(wide, authority)).toBe("host_not_allowed");
    },
  );

  it("reports the first rule in the policy's order, and lets the address of any that allows it through", () => {
    const twice = compiled(
      { name: "wide", hosts: ["*.example.test"] },
      { name: "exact", hosts: ["a.example.test"], allowed_ips: ["10.0.0.0/8"] },
    );
    const authority = parseWireAuthority("a.example.test:443");
    const decision = authority && decide(twice, authority);
    expect(decision).toMatchObject({ verdict: "allow", rule: "wide", allowedRanges: [{ prefixLength: 8 }] });
  });

  it("agrees with a plain reading of the rules, whatever their order", () => {
    const name = fc
      .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 })
      .map((labels) => [...labels, "test"].join("."));
    const host = fc.tuple(fc.boolean(), name).map(([wild, base]) => (wild ? `*.x.${base}` : `x.${base}`));
    const rule = fc.record({
      action: fc.constantFrom("allow", "deny"),
      hosts: fc.array(host, { minLength: 1, maxLength: 3 }),
      ports: fc.subarray([80, 443, 8443]),
    });
    const asked = fc.tuple(fc.subarray(["a", "b", "c", "x"]), name, fc.constantFrom(80, 443, 8443));
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 6 }), asked, (rules, [labels, base, port]) => {
        const text = [...labels, "x", base].join(".");
        const matches = (hosts: string[]) =>
          hosts.some((known) => (known.startsWith("*.") ? text.endsWith(known.slice(1)) : text === known));
        const covers = (ports: number[], action: string) =>
          ports.length === 0 ? action === "deny" || port !== 8443 : ports.includes(port);
        const hit = rules.filter(({ hosts, ports, action }) => matches(hosts) && covers(ports, action));
        const expected = hit.length > 0 && hit.every(({ action }) => action === "allow");
        const decision = decide(compiled(...rules), { host: { kind: "name", text }, port });
        expect(decision.verdict === "allow").toBe(expected);
      }),
    );
  });

  it("does not depend on the size of the policy or the depth of the name", () => {
    const many = compiled(
      ...Array.from({ length: 500 }, (_, rule) => ({
        name: `r${rule}`,
        hosts: Array.from({ length: 20 }, (_, host) => `${host % 2 ? "" : "*."}h${host}.r${rule}.example.test`),
      })),
    );
    expect(many.deepestWildcard).toBe(4);
    const deep = { host: { kind: "name" as const, text: `${"a.".repeat(100)}h2.r400.example.test` }, port: 443 };
    const started = process.cpuUsage().user;
    for (let count = 0; count < 100_000; count++) decide(many, deep);
    const eachUs = (process.cpuUsage().user - started) / 100_000;
    expect(eachUs).toBeLessThan(10); // about 1 us on an idle machine; a scan of the rules would take hundreds
  });
});

describe("compiling", () => {
  it.each([
    { hosts: ["API.test"] },
    { hosts: ["*"] },
    { hosts: ["a.*.b"] },
    { hosts: ["127.0.0.1"] },
    { hosts: ["a.test."] },
    { ports: [0] },
    { action: 0 },
    { action: 7 },
    { allowedIps: ["10.0.0.0"], action: 2 },
    { allowedIps: ["x"] },
  ])("R10: a policy with %j is refused whole", (wrong) => {
    const rule = { name: "r", action: 1, hosts: ["a.test"], ports: [], allowedIps: [], ...wrong };
    expect(() => compilePolicy({ rules: [rule] })).toThrow(PolicyNotCompiled);
  });
});
