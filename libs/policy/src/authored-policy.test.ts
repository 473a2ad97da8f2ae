import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatAuthoredPolicy, parseAuthoredPolicy, policyOfHosts } from "./authored-policy.ts";
import { compilePolicy } from "./compile.ts";
import { ruleProtocol } from "./policy-message.ts";
import { providersOf } from "./providers-of.ts";

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

describe("to whom a workload may prove who it is", () => {
  const withAudiences = (...audiences: unknown[]) => ({ rules: [], identity: { audiences } });

  it("keeps audiences as they are written, each once", () => {
    const check = parseAuthoredPolicy(withAudiences("sts.Example.com", "//iam.example.com/pool", "sts.Example.com"));
    expect(check.ok && check.policy).toEqual({
      rules: [],
      identity: { audiences: ["sts.Example.com", "//iam.example.com/pool"] },
    });
  });

  it("is nobody without a section, and with an empty one", () => {
    expect(parseAuthoredPolicy({ rules: [] })).toEqual({ ok: true, policy: { rules: [] } });
    expect(parseAuthoredPolicy(withAudiences())).toEqual({ ok: true, policy: { rules: [] } });
  });

  it.each(["sandgate", "Sandgate", "sandgate/enrol", "egress-proxy", "EGRESS-PROXY", "sandbox-api", "enclave:1"])(
    "is never Sandgate itself: %s",
    (audience) => {
      expect(faultsOf(withAudiences(audience))).toEqual([" identity.audiences[0]"]);
    },
  );

  it.each(["", "*", "https://*.example.com", "a b", 'a"b', "a\\b", "a\nb", "é", "-a", "x".repeat(256)])(
    "is named exactly: not by %j",
    (audience) => {
      expect(faultsOf(withAudiences(audience))).toEqual([" identity.audiences[0]"]);
    },
  );

  it("is at most 20", () => {
    const audiences = Array.from({ length: 21 }, (_, index) => `a${index}`);
    expect(faultsOf(withAudiences(...audiences))).toEqual([" identity.audiences"]);
  });

  it("is a list in an object, of texts", () => {
    expect(faultsOf({ rules: [], identity: ["x"] })).toEqual([" identity"]);
    expect(faultsOf({ rules: [], identity: { audiences: "x" } })).toEqual([" identity"]);
    expect(faultsOf({ rules: [], identity: { audiences: ["x", 7], subjects: [] } })).toEqual([
      " identity.subjects",
      " identity.audiences",
    ]);
  });
});

describe("the models that a workload is told of", () => {
  const rules = ["models.example.com", { name: "other", hosts: ["other.example.com"], ports: [8443] }];
  const route = { name: "chat", host: "models.example.com", models: ["small-*"] };
  const withRoutes = (...routes: unknown[]) => ({ rules, inference: { routes } });

  it("are stored in one form", () => {
    const check = parseAuthoredPolicy(
      withRoutes(
        { ...route, host: "Models.Example.com.", port: 443, path: "/v1" },
        { ...route, name: "other", host: "other.example.com", port: 8443, credential: "other-key" },
      ),
    );
    expect(check.ok && check.policy.inference).toEqual({
      routes: [
        { name: "chat", host: "models.example.com", port: 0, path: "/v1", models: ["small-*"], credential: "" },
        {
          name: "other",
          host: "other.example.com",
          port: 8443,
          path: "",
          models: ["small-*"],
          credential: "other-key",
        },
      ],
    });
  });

  it.each([
    ["host", "elsewhere.example.com"],
    ["host", "*.example.com"],
    ["host", "127.0.0.1"],
    ["port", 8080],
    ["port", 0],
    ["port", "443"],
    ["path", "v1"],
    ["path", "/v1/../admin"],
    ["path", "/v1?x"],
    ["models", []],
    ["models", "small"],
    ["credential", "Not A Name"],
    ["credential", 7],
    ["colour", "red"],
  ])("are refused with %s %j", (field, value) => {
    const expected = field === "port" && value === 8080 ? "host" : field;
    expect(faultsOf(withRoutes({ ...route, [field]: value }))).toEqual([` inference.routes[0].${expected}`]);
  });

  it("are refused without a name, with one that is taken, and as anything but an object", () => {
    expect(faultsOf(withRoutes(route, route))).toEqual([" inference.routes[1].name"]);
    expect(faultsOf(withRoutes({ ...route, name: undefined }))).toEqual([" inference.routes[0].name"]);
    expect(faultsOf(withRoutes("models.example.com", { ...route, models: ["a*b"] }))).toEqual([
      " inference.routes[0]",
      " inference.routes[1].models[0]",
    ]);
  });

  it("are judged by the rules as a proxy would: a deny rule beats the rule that allows", () => {
    const denied = [...rules, { name: "no", action: "deny", hosts: ["models.example.com"] }];
    expect(faultsOf({ rules: denied, inference: { routes: [route] } })).toEqual([" inference.routes[0].host"]);
  });

  it("come back as they were written", () => {
    const written = {
      rules: [{ name: "models", hosts: ["models.example.com"] }],
      identity: { audiences: ["sts.example.com"] },
      inference: { routes: [{ ...route, path: "/v1", credential: "key" }] },
    };
    const check = parseAuthoredPolicy(written);
    expect(check.ok && formatAuthoredPolicy(check.policy)).toEqual(written);
  });
});

describe("the providers of a policy", () => {
  const rules = ["api.example.com"];

  it("are names, and are written as they are read", () => {
    const check = parseAuthoredPolicy({ rules, providers: ["models", "git", "models"] });
    expect(check.ok && check.policy.providers).toEqual(["models", "git"]);
    expect(check.ok && formatAuthoredPolicy(check.policy).providers).toEqual(["models", "git"]);
  });

  it("are absent where there are none", () => {
    const check = parseAuthoredPolicy({ rules, providers: [] });
    expect(check.ok && "providers" in check.policy).toBe(false);
  });

  it.each([[["No"]], ["models"], [[1]], [Array.from({ length: 51 }, (_, index) => `p${index}`)]])(
    "%j are refused",
    (providers) => {
      expect(parseAuthoredPolicy({ rules, providers }).ok).toBe(false);
    },
  );

  it("are those that it lists and the credentials of its routes", () => {
    const route = { name: "r", host: "api.example.com", port: 0, path: "", models: ["m"], credential: "key" };
    expect(providersOf({ providers: ["other"], inference: { routes: [route, { ...route, credential: "" }] } })).toEqual(
      ["key", "other"],
    );
  });
});

describe("mode and expiry", () => {
  const rule = { name: "grant", hosts: ["api.example.com"], expire_time: "2030-01-31T12:00:00.250Z" };

  it("come back as they were written, in UTC", () => {
    const written = { mode: "observe", rules: [rule] };
    const check = parseAuthoredPolicy({
      ...written,
      rules: [{ ...rule, expire_time: "2030-01-31T13:00:00.25+01:00" }],
    });
    expect(check.ok && formatAuthoredPolicy(check.policy)).toEqual(written);
    expect(check.ok && check.policy).toMatchObject({
      mode: 2,
      rules: [{ expireTime: { seconds: BigInt(Date.parse("2030-01-31T12:00:00Z") / 1000), nanos: 250_000_000 } }],
    });
  });

  it("are left out where they are the usual ones", () => {
    const check = parseAuthoredPolicy({ mode: "enforce", rules: [] });
    expect(check).toEqual({ ok: true, policy: { rules: [] } });
  });

  it.each(["tomorrow", "2030-01-31", "2030-01-31T12:00:00", "2030-13-31T12:00:00Z", 7, null, ""])(
    "an expiry of %j is a fault",
    (expire_time) => {
      expect(faultsOf({ rules: [{ ...rule, expire_time }] })).toEqual(["grant expire_time"]);
    },
  );

  it("a deny rule never expires: what it forbids would open", () => {
    expect(faultsOf({ rules: [{ ...rule, action: "deny" }] })).toEqual(["grant expire_time"]);
  });

  it.each(["Observe", "audit", true, 2, null])("a mode of %j is a fault", (mode) => {
    expect(faultsOf({ mode, rules: [] })).toEqual([" mode"]);
  });
});

describe("protocol, methods and paths of a rule", () => {
  it("are read, brought into canonical form, and written as they were", () => {
    const check = parseAuthoredPolicy({
      rules: [
        { name: "rest", hosts: ["rest.example.test"], methods: ["get", "GET", "Post"], paths: ["/v1/**"] },
        { name: "raw", hosts: ["db.example.test"], ports: [5432], protocol: "tcp" },
      ],
    });
    expect(check).toMatchObject({
      ok: true,
      policy: { rules: [{ methods: ["GET", "POST"], paths: ["/v1/**"] }, { protocol: ruleProtocol.tcp }] },
    });
    expect(check.ok && formatAuthoredPolicy(check.policy).rules).toEqual([
      { name: "rest", hosts: ["rest.example.test"], methods: ["GET", "POST"], paths: ["/v1/**"] },
      { name: "raw", hosts: ["db.example.test"], ports: [5432], protocol: "tcp" },
    ]);
  });

  it.each<[Record<string, unknown>, string]>([
    [{ methods: ["GTE"] }, "methods[0]"],
    [{ methods: ["CONNECT"] }, "methods[0]"],
    [{ methods: ["TRACE"] }, "methods[0]"],
    [{ methods: "GET" }, "methods"],
    [{ paths: ["v1"] }, "paths[0]"],
    [{ paths: ["/v1", "/../x"] }, "paths[1]"],
    [{ paths: ["/v1"], protocol: "https" }, "protocol"],
    [{ methods: ["GET"], protocol: "tcp" }, "protocol"],
    [{ protocol: "udp" }, "protocol"],
    [{ protocol: "http", action: "deny" }, "protocol"],
  ])("A44: %j is refused for its %s", (fields, field) => {
    const check = parseAuthoredPolicy({ rules: [{ name: "r", hosts: ["a.example.test"], ...fields }] });
    expect(check.ok ? [] : check.faults.map((fault) => fault.field)).toEqual([field]);
  });
});
