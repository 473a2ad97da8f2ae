import { describe, expect, it } from "vitest";
import { parseAuthoredPolicy, policyOfHosts } from "./authored-policy.ts";
import { hostGroups, hostsOf, takesUploads } from "./catalogue.ts";
import { ruleAction } from "./policy-message.ts";
import { reviewRules } from "./review-rules.ts";

const group = (name: string): readonly string[] => hostsOf(`@${name}`) ?? [];

describe("the catalogue of hosts", () => {
  it("S1-15, D-63: has the groups of package managers and updates, with where they redirect to", () => {
    expect(hostGroups.map(({ name }) => name)).toEqual([
      "debian",
      "github",
      "npm",
      "os_updates",
      "package_managers",
      "python",
      "rust",
      "ubuntu",
    ]);
    expect(group("rust")).toHaveLength(3);
    expect(group("github").length).toBeGreaterThan(4);
    expect(group("package_managers")).toEqual(["github", "npm", "python", "rust"].flatMap(group));
    expect(group("os_updates")).toEqual(["debian", "ubuntu"].flatMap(group));
  });

  it.each(hostGroups.map(({ name }) => name))("names of @%s are in canonical form and pass lint", (name) => {
    const check = policyOfHosts([`@${name}`]);
    expect(check).toMatchObject({
      ok: true,
      policy: { rules: [{ name: name.replace("_", "-"), hosts: group(name) }] },
    });
  });

  it("is named where hosts are, and stored as hosts: a later catalogue changes no policy", () => {
    const check = parseAuthoredPolicy({
      rules: ["@python", { name: "more", hosts: ["@rust", "api.example.com"], ports: [443] }],
    });
    expect(check).toMatchObject({
      ok: true,
      policy: { rules: [{ name: "python", hosts: group("python") }, { hosts: [...group("rust"), "api.example.com"] }] },
    });
  });

  it.each(["@", "@nothing", "@Python", "@python.example.com"])(
    "has no group %s, and says which there are",
    (written) => {
      for (const check of [policyOfHosts([written]), parseAuthoredPolicy({ rules: [{ name: "r", hosts: [written] }] })])
        expect(check.ok ? [] : check.faults).toEqual([
          expect.objectContaining({ field: "hosts[0]", message: expect.stringContaining("package_managers") }),
        ]);
    },
  );
});

describe("a host that takes uploads", () => {
  it.each([
    ...["github", "rust", "npm"].flatMap((name) => group(name).slice(0, 1)),
    "bucket.s3.amazonaws.com",
    "*.cloudfront.net",
    "files.dropbox.com",
  ])("is pointed out to whoever reviews a rule: %s", (host) => {
    expect(takesUploads(host)).toBe(true);
    const rule = { name: "r", action: ruleAction.allow, hosts: [host], ports: [], allowedIps: [] };
    const said = reviewRules([rule]).map(({ message }) => message);
    expect(said).toContain("exfiltration-capable: takes uploads from anybody, or serves what anybody puts there");
    const read = reviewRules([{ ...rule, ports: [80], methods: ["GET"] }]).map(({ message }) => message);
    expect(read.filter((message) => message.startsWith("exfiltration"))).toEqual([]);
    expect(reviewRules([{ ...rule, action: ruleAction.deny }])).toEqual([]);
  });

  it.each(["example.com", "notdropbox.com", "dropbox.com.example.com", "amazonaws.example.org"])(
    "is not %s",
    (host) => {
      expect(takesUploads(host)).toBe(false);
    },
  );
});
