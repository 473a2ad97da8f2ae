import { Action } from "@sandgate/api/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

const withPolicy = async () => {
  const sandbox = fixture.register();
  const hosts = ["api.example.test", "b\u00fccher.example.test", "*.wild.example.test"];
  await fixture.policy.setPolicy({ sandbox, policy: { rules: [{ name: "one", action: Action.ALLOW, hosts }] } });
  return sandbox;
};

describe("IssueContainerToken", () => {
  it("D-09 asks Auth for the hosts that the policy allows, for the caller, and says which it does not", async () => {
    const sandbox = await withPolicy();
    const hosts = [
      "API.Example.TEST",
      "evil.test",
      "B\u00dcCHER.example.test",
      "*.wild.example.test",
      "*.example.test",
    ];
    const answer = await fixture.policy.issueContainerToken({ sandbox, hosts, options: { isPciCompliant: true } });
    const grantedHosts = ["api.example.test", "xn--bcher-kva.example.test", "*.wild.example.test"];
    expect(answer).toMatchObject({ token: "signed", grantedHosts, refusedHosts: ["evil.test", "*.example.test"] });
    expect(fixture.asked.at(-1)).toMatchObject({
      request: { sandboxId: sandbox, allowedHosts: grantedHosts, options: { isPciCompliant: true } },
      headers: { "sandgate-caller": "user/alice" },
    });
  });

  it("D-13 names no host when none is asked for", async () => {
    const sandbox = fixture.register();
    expect(await fixture.policy.issueContainerToken({ sandbox })).toMatchObject({ grantedHosts: [], refusedHosts: [] });
    expect(fixture.asked.at(-1)).toMatchObject({ request: { sandboxId: sandbox, allowedHosts: [] } });
  });

  it.each([
    ["nothing that is allowed", ["evil.test"]],
    ["only a wildcard that is wider than the policy's", ["*.test"]],
  ])("D-09 refuses to mint for %s", async (_name, hosts) => {
    const sandbox = await withPolicy();
    const asked = fixture.asked.length;
    expect(await reasonOf(fixture.policy.issueContainerToken({ sandbox, hosts }))).toBe("HOSTS_NOT_GRANTED");
    expect(fixture.asked).toHaveLength(asked);
  });

  it("D-09 grants nothing to a sandbox without a policy", async () => {
    const call = fixture.policy.issueContainerToken({ sandbox: fixture.register(), hosts: ["api.example.test"] });
    expect(await reasonOf(call)).toBe("HOSTS_NOT_GRANTED");
  });

  it.each([
    "api.example.test,*",
    "*",
    "*.",
    "a.*.test",
    "127.0.0.1",
    "[::1]",
    "0x7f.1",
    "http://api.example.test",
    "api.example.test:443",
    "user@api.example.test",
    "api.example.test/",
    "api example.test",
    "",
    "localhost",
  ])("D-09 refuses the host %j, and names it", async (host) => {
    const sandbox = await withPolicy();
    const error: unknown = await fixture.policy
      .issueContainerToken({ sandbox, hosts: ["api.example.test", host] })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: "REQUEST_INVALID", metadata: { field: "hosts[1]" } });
  });

  it("D-09 takes at most 64 hosts", async () => {
    const hosts = Array.from({ length: 65 }, () => "api.example.test");
    const call = fixture.policy.issueContainerToken({ sandbox: await withPolicy(), hosts });
    expect(await reasonOf(call)).toBe("REQUEST_INVALID");
  });
});
