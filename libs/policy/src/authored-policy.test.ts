import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatAuthoredPolicy, parseAuthoredPolicy, policyOfHosts } from "./authored-policy.ts";
import { compilePolicy } from "./compile.ts";

function faultsOf(document: unknown) {
  const check = parseAuthoredPolicy(document);
  return check.ok ? [] : check.faults.map(({ rule, field }) => `${rule} ${field}`);
}

describe("a policy as a person writes it", () => {
  it("takes a host alone as a rule that allows it", () => {
    expect(parseAuthoredPolicy({ rules: ["api.example.test", "*.Wild.example.test."] })).toEqual({
      ok: true,
      policy: {
        rules: [
          { name: "api-example-test", action: 1, hosts: ["api.example.test"], ports: [], allowedIps: [] },
          { name: "any-wild-example-test", action: 1, hosts: ["*.wild.example.test"], ports: [], allowedIps: [] },
        ],
      },
    });
  });

  it("gives rules without a name different ones", () => {
    const check = parseAuthoredPolicy({ rules: ["a.test", { name: "a-test-2", hosts: ["b.test"] }, "a.test"] });
    expect(check.ok && check.policy.rules.map(({ name }) => name)).toEqual(["a-test", "a-test-2", "a-test-3"]);
  });

  it("A43: stores names in other scripts as A-labels", () => {
    const check = parseAuthoredPolicy({ rules: ["bücher.example.test", "*.BÜCHER.example"] });
    expect(check.ok && check.policy.rules.flatMap(({ hosts }) => hosts)).toEqual([
      "xn--bcher-kva.example.test",
      "*.xn--bcher-kva.example",
    ]);
  });

  it.each([
    "*.co.uk",
    "*.com",
    "*.github.io",
    "*.test",
    "*",
    "*.",
    "*.*",
    "a.*.b",
    "*b.test",
    "http://x",
    "x:99999",
    "x:443",
    "x/y",
    "x y",
    "x\n",
    " x",
    ".x",
    "x..y",
    "",
    "*.0.0.1",
    "127.0.0.1",
    "*.127.0.0.1",
    "127.1",
    "0x7f000001",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "[::1]",
    "::1",
    "user@x.test",
    "x%2etest",
    "x\\y.test",
    "exa\u00admple.test",
    "exa\u200bmple.test",
    "xn--a",
    "-a.test",
    "localhost",
    "*.localhost",
    "metadata.google.internal",
    `${"a".repeat(64)}.test`,
  ])("A44, B28: the host %j is refused", (host) => {
    expect(faultsOf({ rules: [{ name: "r", hosts: [host] }] })).toEqual(["r hosts[0]"]);
  });

  it.each(["example.com", "*.example.com", "*.example.co.uk", "github.io", "*.me.github.io", "intranet"])(
    "the host %s is accepted",
    (host) => {
      expect(faultsOf({ rules: [{ name: "r", hosts: [host] }] })).toEqual([]);
    },
  );

  it.each([
    "127.0.0.0/8",
    "127.0.0.1",
    "169.254.0.0/16",
    "::1",
    "fe80::/10",
    "0.0.0.0/0",
    "::/0",
    "10.9.1.2/16",
    "x",
    "168.63.129.16",
  ])("the range %s is refused", (allowed) => {
    expect(faultsOf({ rules: [{ name: "r", hosts: ["x.test"], allowed_ips: [allowed] }] })).toEqual([
      "r allowed_ips[0]",
    ]);
  });

  it("reports every fault at once, with rule and field", () => {
    expect(
      faultsOf({
        version: 1,
        rules: [
          { name: "A b", hosts: ["x.test"] },
          { name: "same", hosts: ["x.test"], ports: [0, 80, 65536, 1.5] },
          { name: "same", hosts: [] },
          { name: "denies", action: "deny", hosts: ["x.test"], allowed_ips: ["10.0.0.0/8"] },
          { name: "typed", action: "block", hosts: "x.test", colour: "red" },
          7,
        ],
      }).toSorted(),
    ).toEqual(
      [
        " version",
        "denies allowed_ips",
        "rules[0] name",
        "rules[5] rule",
        "same hosts",
        "same name",
        "same ports[0]",
        "same ports[2]",
        "same ports[3]",
        "typed action",
        "typed colour",
        "typed hosts",
      ].toSorted(),
    );
  });

  it.each([undefined, null, 1, "x", [], {}, { rules: {} }, { rules: [null] }, { rules: [[]] }])(
    "%j is refused whole",
    (document) => {
      expect(faultsOf(document)).not.toEqual([]);
    },
  );

  it("holds at most 500 rules and 1000 hosts a rule", () => {
    const hosts = Array.from({ length: 1001 }, (_, index) => `h${index}.test`);
    expect(faultsOf({ rules: [{ name: "r", hosts }] })).toEqual(["r hosts"]);
    expect(faultsOf({ rules: hosts.slice(0, 501) })).toEqual([" rules"]);
  });

  it("reads back what it wrote, and compiles it", () => {
    const host = fc.domain().map((name) => name.toLowerCase());
    const rule = fc.record(
      {
        action: fc.constantFrom("allow" as const, "deny" as const),
        hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 4 }),
        ports: fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 3 }),
      },
      { requiredKeys: ["hosts"] },
    );
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 5 }), (rules) => {
        const check = parseAuthoredPolicy({ rules });
        if (!check.ok) return; // a label that IDNA refuses
        expect(parseAuthoredPolicy(formatAuthoredPolicy(check.policy))).toEqual(check);
        compilePolicy(check.policy);
      }),
    );
  });

  it("never throws, whatever the document", () => {
    fc.assert(
      fc.property(fc.anything(), fc.array(fc.anything()), (document, rules) => {
        parseAuthoredPolicy(document);
        parseAuthoredPolicy({ rules });
        parseAuthoredPolicy({ rules: rules.map((hosts) => ({ name: "r", hosts: [hosts].flat() })) });
      }),
    );
  });
});

describe("a policy made of hosts", () => {
  it("allows each on its default ports, or on the one it names", () => {
    const check = policyOfHosts(["example.com", "example.com:8443", "*.example.org"]);
    expect(check.ok && check.policy.rules.map(({ name, hosts, ports }) => [name, hosts[0], ports])).toEqual([
      ["example-com", "example.com", []],
      ["example-com-2", "example.com", [8443]],
      ["any-example-org", "*.example.org", []],
    ]);
  });

  it("is refused with the fault of each", () => {
    const check = policyOfHosts(["x:99999", "*", "a b"]);
    expect(check.ok ? [] : check.faults.map(({ field }) => field)).toEqual(["ports[0]", "hosts[0]", "hosts[0]"]);
  });
});
