import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CommandFailure } from "../command-failure.ts";
import { checkPolicyFile } from "./policy-file.ts";
import { readRequestedPolicy } from "./policy-source.ts";

const folder = mkdtempSync(join(tmpdir(), "policy-source-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function exitCodeOf(work: Promise<unknown>): Promise<number | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => (error instanceof CommandFailure ? error.report.exitCode : undefined),
  );
}

describe("the policy that a command asks for", () => {
  it("is made of --allow", async () => {
    const policy = await readRequestedPolicy({ allow: ["example.com", "api.example:8443"], file: undefined });
    expect(policy?.rules).toMatchObject([
      { hosts: ["example.com"], ports: [] },
      { hosts: ["api.example"], ports: [8443] },
    ]);
  });

  it("is read from YAML, and from JSON", async () => {
    const yaml = file(
      "policy.yaml",
      "rules:\n  - example.com\n  - name: api\n    hosts: ['*.api.example']\n    ports: [8443]\n",
    );
    const json = file("policy.json", '{"rules":["example.com"]}');
    expect((await readRequestedPolicy({ allow: [], file: yaml }))?.rules).toHaveLength(2);
    expect((await readRequestedPolicy({ allow: [], file: json }))?.rules).toHaveLength(1);
  });

  it("is none where nothing was asked for: then the service's default, which denies, holds", async () => {
    expect(await readRequestedPolicy({ allow: [], file: undefined })).toBeUndefined();
  });

  it.each([
    ["hosts and a file together", { allow: ["example.com"], file: "x.yaml" }],
    ["a host that is none", { allow: ["not a host"], file: undefined }],
    ["a wildcard over a public suffix", { allow: ["*.com"], file: undefined }],
    ["a file that is not there", { allow: [], file: "/nowhere/policy.yaml" }],
  ])("is refused with exit code 2: %s", async (_, source) => {
    expect(await exitCodeOf(readRequestedPolicy(source))).toBe(2);
  });
});

describe("a policy file with faults", () => {
  it("is told where it is no YAML", async () => {
    const check = await checkPolicyFile(file("torn.yaml", "rules:\n  - [example.com\n"));
    expect(check).toMatchObject({ ok: false, faults: [{ message: expect.stringContaining("line") }] });
  });

  it("has all its faults reported at once", async () => {
    const check = await checkPolicyFile(
      file("faults.yaml", "rules:\n  - name: A\n    hosts: ['*.com']\n    port: 1\n"),
    );
    expect(check.ok ? [] : check.faults.map(({ field }) => field)).toEqual(
      expect.arrayContaining(["port", "hosts[0]"]),
    );
  });
});
