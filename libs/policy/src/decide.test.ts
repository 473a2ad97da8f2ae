import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAuthoredPolicy } from "./authored-policy.ts";
import { compilePolicy, PolicyNotCompiled } from "./compile.ts";
import { type Asked, decide } from "./decide.ts";
import { policyMode } from "./policy-message.ts";
import { parseWireAuthority } from "./wire-host.ts";

function parsed(...rules: unknown[]) {
  const check = parseAuthoredPolicy({ rules });
  if (!check.ok) throw new TypeError(JSON.stringify(check.faults));
  return check.policy;
}

const compiled = (...rules: unknown[]) => compilePolicy(parsed(...rules));

function verdict(policy: ReturnType<typeof compiled>, text: string): string {
  const authority = parseWireAuthority(text);
  if (authority === undefined) throw new TypeError(text);
  const decision = decide(policy, authority, 0);
  return decision.verdict === "allow" ? `allow ${decision.rule}` : `${decision.reason} ${decision.rule}`.trim();
}

const policySource = parsed(
  { name: "api", hosts: ["api.example.test"] },
  { name: "wild", hosts: ["*.wild.example.test"], ports: [443] },
  { name: "secret", action: "deny", hosts: ["secret.wild.example.test"] },
  { name: "admin", action: "deny", hosts: ["*.wild.example.test"], ports: [8443] },
  { name: "odd", hosts: ["odd.wild.example.test"], ports: [8443, 9443] },
  { name: "priv", hosts: ["priv.example.test"], ports: [443], allowed_ips: ["10.9.0.0/16"] },
  { name: "literal", allowed_ips: ["93.184.216.0/24", "fd12::/16"], ports: [5432] },
);
const policy = compilePolicy(policySource);

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
    const decision = authority && decide(twice, authority, 0);
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
        const decision = decide(compiled(...rules), { host: { kind: "name", text }, port }, 0);
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
    for (let count = 0; count < 100_000; count++) decide(many, deep, 0);
    const eachUs = (process.cpuUsage().user - started) / 100_000;
    expect(eachUs).toBeLessThan(10); // about 1 us on an idle machine; a scan of the rules would take hundreds
  });
});

describe("a policy that observes", () => {
  const observing = compilePolicy({ ...policySource, mode: policyMode.observe });
  const observed = (text: string): string => {
    const authority = parseWireAuthority(text);
    if (authority === undefined) throw new TypeError(text);
    const decision = decide(observing, authority, 0);
    return decision.verdict === "allow" ? "allow" : `${decision.verdict} ${decision.reason} ${decision.rule}`.trim();
  };

  it.each([
    ["what a rule allows", "api.example.test:443", "allow"],
    ["a host that no rule names", "new.example.test:443", "would_deny host_not_allowed"],
    ["another port", "api.example.test:22", "would_deny port_not_allowed api"],
    ["a public address", "93.184.217.34:443", "would_deny host_not_allowed"],
    ["what a deny rule names", "secret.wild.example.test:443", "deny host_not_allowed secret"],
    ["a private address", "10.8.1.2:443", "deny host_not_allowed"],
    ["a private address on a port that its rule has not", "10.9.1.2:22", "deny port_not_allowed priv"],
    ["loopback", "127.0.0.1:80", "deny ip_not_allowed"],
    ["loopback in IPv6", "[::1]:80", "deny ip_not_allowed"],
    ["metadata", "169.254.169.254:80", "deny ip_not_allowed"],
    ["metadata by name", "metadata.google.internal:80", "deny host_not_allowed"],
    ["localhost", "x.localhost:443", "deny host_not_allowed"],
  ])("B10, A47: %s, %s: %s", (_name, authority, expected) => {
    expect(observed(authority)).toBe(expected);
  });

  it("lets a name through to public addresses alone, whatever other rules of it say", () => {
    const authority = parseWireAuthority("priv.example.test:22");
    expect(authority && decide(observing, authority, 0)).toMatchObject({ verdict: "would_deny", allowedRanges: [] });
  });
});

describe("a rule that expires", () => {
  const at = Date.parse("2030-01-01T00:00:00.500Z");
  const temporary = compiled(
    { name: "grant", hosts: ["api.example.test"], expire_time: "2030-01-01T00:00:00.5Z" },
    { name: "range", allowed_ips: ["10.9.0.0/16"], expire_time: "2030-01-01T00:00:00.500Z" },
    { name: "stays", hosts: ["stays.example.test"] },
  );
  it.each([
    ["api.example.test:443", at - 1, "allow", "grant"],
    ["api.example.test:443", at, "deny", "grant"],
    ["api.example.test:22", at, "deny", ""],
    ["10.9.1.2:443", at - 1, "allow", "range"],
    ["10.9.1.2:443", at, "deny", "range"],
    ["stays.example.test:443", at, "allow", "stays"],
  ])("%s at %d: %s", (text, now, verdict, rule) => {
    const authority = parseWireAuthority(text);
    expect(authority && decide(temporary, authority, now)).toMatchObject({ verdict, rule });
    expect(temporary.expiries).toEqual([at]);
  });

  it("takes nothing of what another rule allows with it", () => {
    const both = compiled(
      { name: "grant", hosts: ["api.example.test"], expire_time: "2030-01-01T00:00:00Z" },
      { name: "kept", hosts: ["*.example.test"] },
    );
    const authority = parseWireAuthority("api.example.test:443");
    expect(authority && decide(both, authority, at)).toMatchObject({ verdict: "allow", rule: "kept" });
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
    { expireTime: { seconds: -1n, nanos: 0 } },
    { expireTime: { seconds: 1n, nanos: 0 }, action: 2 },
  ])("R10: a policy with %o is refused whole", (wrong) => {
    const rule = { name: "r", action: 1, hosts: ["a.test"], ports: [], allowedIps: [], ...wrong };
    expect(() => compilePolicy({ rules: [rule] })).toThrow(PolicyNotCompiled);
  });
});

describe("what is asked of a destination", () => {
  const requests = compiled(
    { name: "rest", hosts: ["rest.example.test"], ports: [80], methods: ["GET", "post"], paths: ["/v1/**", "/health"] },
    { name: "wide", hosts: ["wide.example.test"], ports: [80, 443] },
    { name: "no-writes", action: "deny", hosts: ["wide.example.test"], methods: ["DELETE"] },
    {
      name: "no-admin",
      action: "deny",
      hosts: ["*.example.test"],
      ports: [80],
      methods: ["GET"],
      paths: ["/admin/**"],
    },
    { name: "plain", hosts: ["plain.example.test"], protocol: "http" },
    { name: "tls", hosts: ["tls.example.test"], ports: [443, 8080], protocol: "https" },
    { name: "raw", hosts: ["raw.example.test"], ports: [22], protocol: "tcp" },
    { name: "both", hosts: ["both.example.test"], ports: [80], methods: ["GET"] },
    { name: "and", hosts: ["both.example.test"], ports: [80], methods: ["PUT"], paths: ["/up"] },
  );
  const said = (text: string, asked: Asked | undefined): string => {
    const authority = parseWireAuthority(text);
    if (authority === undefined) throw new TypeError(text);
    const { verdict: kind, rule, ...rest } = decide(requests, authority, 0, asked);
    return kind === "allow" ? `allow ${rule}` : `${"reason" in rest ? rest.reason : ""} ${rule}`.trim();
  };
  const request = (method: string, path: string | undefined): Asked => ({ kind: "request", method, path });

  it.each<[string, Asked | undefined, string]>([
    ["rest.example.test:80", request("GET", "/v1/x"), "allow rest"],
    ["rest.example.test:80", request("HEAD", "/v1/x"), "allow rest"],
    ["rest.example.test:80", request("POST", "/health"), "allow rest"],
    ["rest.example.test:80", request("DELETE", "/v1/x"), "method_not_allowed rest"],
    ["rest.example.test:80", request("GET", "/v2"), "path_not_allowed rest"],
    ["rest.example.test:80", request("GET", "/v1/../admin"), "path_not_allowed no-admin"],
    ["rest.example.test:80", request("GET", undefined), "path_not_allowed no-admin"],
    ["rest.example.test:80", request("POST", undefined), "allow rest"],
    ["rest.example.test:80", request("OPTIONS", "*"), "method_not_allowed rest"],
    ["rest.example.test:80", undefined, "allow rest"],
    ["rest.example.test:80", { kind: "tls" }, "protocol_not_allowed no-admin"],
    ["rest.example.test:443", undefined, "port_not_allowed rest"],
    ["wide.example.test:443", { kind: "tls" }, "protocol_not_allowed no-writes"],
    ["wide.example.test:443", undefined, "allow wide"],
    ["wide.example.test:80", request("GET", "/x"), "allow wide"],
    ["wide.example.test:80", request("DELETE", "/x"), "method_not_allowed no-writes"],
    ["wide.example.test:80", request("HEAD", "/admin/x"), "path_not_allowed no-admin"],
    ["wide.example.test:80", request("PUT", "/admin/x"), "allow wide"],
    ["wide.example.test:80", request("GET", "/a//b"), "path_not_allowed no-admin"],
    ["plain.example.test:443", { kind: "tls" }, "protocol_not_allowed plain"],
    ["plain.example.test:443", request("GET", "/"), "allow plain"],
    ["tls.example.test:443", { kind: "tls" }, "allow tls"],
    ["tls.example.test:8080", request("GET", "/"), "protocol_not_allowed tls"],
    ["tls.example.test:443", { kind: "bytes" }, "protocol_not_allowed tls"],
    ["raw.example.test:22", { kind: "bytes" }, "allow raw"],
    ["both.example.test:80", request("PUT", "/up"), "allow and"],
    ["both.example.test:80", request("PUT", "/down"), "path_not_allowed and"],
    ["both.example.test:80", request("POST", "/up"), "method_not_allowed both"],
  ])("C55, C58: %s, %j: %s", (authority, asked, expected) => {
    expect(said(authority, asked)).toBe(expected);
  });
});
