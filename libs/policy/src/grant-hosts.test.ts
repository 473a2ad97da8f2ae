import fc from "fast-check";
import { expect, it } from "vitest";
import { parseAuthoredPolicy } from "./authored-policy.ts";
import { compilePolicy } from "./compile.ts";
import { decide } from "./decide.ts";
import { grantHosts } from "./grant-hosts.ts";

function compiled(...rules: unknown[]) {
  const check = parseAuthoredPolicy({ rules });
  if (!check.ok) throw new TypeError(JSON.stringify(check.faults));
  return compilePolicy(check.policy);
}

const policy = compiled(
  { name: "api", hosts: ["api.example.test"] },
  { name: "database", hosts: ["db.example.test"], ports: [5432] },
  { name: "no-database", action: "deny", hosts: ["old-db.example.test"] },
  { name: "old-database", hosts: ["old-db.example.test"], ports: [5432] },
  { name: "wild", hosts: ["*.wild.example.test"] },
  { name: "mixed", hosts: ["*.mixed.example.test"] },
  { name: "secret", action: "deny", hosts: ["secret.mixed.example.test"] },
  { name: "shut", hosts: ["*.shut.example.test"] },
  { name: "closed", action: "deny", hosts: ["*.deep.shut.example.test"] },
  { name: "other-port", hosts: ["*.port.example.test"] },
  { name: "port", action: "deny", hosts: ["a.port.example.test"], ports: [8443] },
);

it.each([
  ["a name that is allowed", "api.example.test", true],
  ["a name that is allowed on another port than the usual", "db.example.test", true],
  ["a name that a rule denies", "old-db.example.test", false],
  ["a name that is in no rule", "evil.test", false],
  ["a name below one that is allowed", "x.api.example.test", false],
  ["a name below a wildcard", "a.b.wild.example.test", true],
  ["the wildcard's own name", "wild.example.test", false],
  ["the wildcard itself", "*.wild.example.test", true],
  ["a wildcard below it", "*.a.wild.example.test", true],
  ["a wildcard above it", "*.example.test", false],
  ["a wildcard over a name that is allowed", "*.api.example.test", false],
  ["a wildcard with a name below it that is denied", "*.mixed.example.test", false],
  ["a wildcard beside that name", "*.fine.mixed.example.test", true],
  ["a wildcard with a wildcard below it that is denied", "*.shut.example.test", false],
  ["a wildcard with a denial on a port that it does not allow", "*.port.example.test", true],
  ["a name that is never reachable", "metadata.google.internal", false],
])("D-09 %s", (_name, host, isGranted) => {
  expect(grantHosts(policy, [host], 0)).toEqual(
    isGranted ? { granted: [host], refused: [] } : { granted: [], refused: [host] },
  );
});

it("D-09 names each host once", () => {
  expect(grantHosts(policy, ["api.example.test", "evil.test", "api.example.test", "evil.test"], 0)).toEqual({
    granted: ["api.example.test"],
    refused: ["evil.test"],
  });
});

it("D-09 grants nothing that a decision would deny on every port", () => {
  const label = fc.constantFrom("a", "b", "c");
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => `${labels.join(".")}.test`);
  const host = fc.tuple(fc.boolean(), name).map(([isWild, text]) => (isWild ? `*.${text}` : text));
  const rule = fc.record({
    action: fc.constantFrom("allow", "deny"),
    hosts: fc.array(host, { minLength: 1, maxLength: 2 }),
    ports: fc.constantFrom([], [443], [8443], [443, 8443]),
  });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 5 }), host, name, (rules, asked, tried) => {
      const set = compiled(...rules.map((one, index) => ({ ...one, name: `r${index}` })));
      if (grantHosts(set, [asked], 0).granted.length === 0) return;
      const meant = asked.startsWith("*.") ? `${tried.slice(0, -5)}.${asked.slice(2)}` : asked;
      const verdicts = [80, 443, 8443].map(
        (port) => decide(set, { host: { kind: "name", text: meant }, port }, 0).verdict,
      );
      expect(verdicts).toContain("allow");
    }),
    { numRuns: 2_000 },
  );
});
