import { describe, expect, it } from "vitest";
import { lintPolicy } from "./lint.ts";
import { proposeRules } from "./propose-rules.ts";

const denied = (host: string, port = 443, more: { tunnel?: boolean; count?: number } = {}) => ({
  host,
  port,
  tunnel: true,
  count: 1,
  ...more,
});
const propose = (generalize: boolean, ...found: ReturnType<typeof denied>[]) =>
  proposeRules(found, { generalize }).map(({ rule, evidence }) => ({
    host: rule.hosts.join(),
    ports: rule.ports,
    from: evidence.map(({ host, port, tunnel }) => `${host}:${port} ${tunnel ? "tunnel" : "http"}`),
  }));

describe("rules from what was denied", () => {
  it("groups by host, then port, then protocol, the most frequent host first", () => {
    const proposed = propose(
      false,
      denied("rare.test"),
      denied("often.test", 8443, { count: 3 }),
      denied("often.test", 80, { tunnel: false }),
      denied("often.test", 80),
    );
    expect(proposed).toEqual([
      {
        host: "often.test",
        ports: [80, 8443],
        from: ["often.test:80 http", "often.test:80 tunnel", "often.test:8443 tunnel"],
      },
      { host: "rare.test", ports: [443], from: ["rare.test:443 tunnel"] },
    ]);
  });

  it("does not generalize unless it is asked to", () => {
    const found = [denied("a.example.com"), denied("b.example.com")];
    expect(propose(false, ...found).map(({ host }) => host)).toEqual(["a.example.com", "b.example.com"]);
    expect(propose(true, ...found)).toEqual([
      { host: "*.example.com", ports: [443], from: ["a.example.com:443 tunnel", "b.example.com:443 tunnel"] },
    ]);
  });

  it.each([
    ["a public suffix", ["a.co.uk", "b.co.uk"]],
    ["a top-level domain", ["a.com", "b.com"]],
    ["names that strangers register", ["a.github.io", "b.github.io"]],
    ["one name alone", ["a.example.com"]],
    ["names of another depth", ["a.b.example.com", "a.example.com"]],
  ])("never generalizes over %s", (_what, hosts) => {
    expect(propose(true, ...hosts.map((host) => denied(host))).map(({ host }) => host)).toEqual(hosts);
  });

  it("does not widen the ports of one name by those of another", () => {
    const found = [denied("a.example.com", 443), denied("b.example.com", 22)];
    expect(propose(true, ...found).map(({ host }) => host)).toEqual(["a.example.com", "b.example.com"]);
  });

  it.each([
    "10.0.0.1",
    "93.184.216.34",
    "fd12::1",
    "169.254.169.254",
    "localhost",
    "metadata.google.internal",
    "",
    "*",
  ])("proposes nothing for %j", (host) => {
    expect(propose(true, denied(host))).toEqual([]);
  });

  it("passes lint, with names that differ", () => {
    const hosts = ["a.example.com", "a-example.com", "xn--bcher-kva.example", `${"a".repeat(60)}.example.com`];
    const rules = proposeRules(
      hosts.map((host) => denied(host)),
      { generalize: false },
    ).map(({ rule }) => rule);
    expect(lintPolicy({ rules })).toEqual({ ok: true, policy: { rules } });
    expect(new Set(rules.map(({ name }) => name)).size).toBe(hosts.length);
  });
});
