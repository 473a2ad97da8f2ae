import { describe, expect, it } from "vitest";
import { type ContainerTokenRequest, ownTokenRequest, planContainerToken } from "./container-token-plan.ts";

const rules = { audiences: ["sandbox-api"], defaultLifeMs: 900_000, mayBeUnenforced: false };
const key = { kind: "key", thumbprint: "k".repeat(43) } as const;
const plan = (request: Partial<ContainerTokenRequest>, over: Partial<typeof rules> = {}) =>
  planContainerToken({ ...ownTokenRequest, ...request }, { ...rules, ...over });

describe("a container token's plan", () => {
  it("S0-05, S0-06 enforces everything and regulates nothing unless it is told to", () => {
    expect(plan({})).toEqual({
      plan: {
        audience: "egress-proxy",
        lifeMs: 900_000,
        enforceContainerBinding: true,
        useEgressGateway: true,
        enforceCentralizedEgress: true,
        isHipaaRegulated: false,
        isPciCompliant: false,
        confirmation: undefined,
      },
    });
  });

  it("S0-03 says what the request says", () => {
    const said = { audience: "sandbox-api", isHipaaRegulated: true, isPciCompliant: true, confirmation: key };
    expect(plan({ ...said, lifeMs: 60_000 })).toMatchObject({ plan: { ...said, lifeMs: 60_000 } });
  });

  it.each([
    ["S0-04 4 hours", { lifeMs: 14_400_000 }, undefined],
    ["S0-04 more than 4 hours", { lifeMs: 14_401_000 }, "options.life"],
    ["S0-04 less than a minute", { lifeMs: 59_000 }, "options.life"],
    ["S0-04 half a second", { lifeMs: 60_500 }, "options.life"],
    ["S0-04 a negative life", { lifeMs: -60_000 }, "options.life"],
    ["S0-04 no number", { lifeMs: Number.NaN }, "options.life"],
    ["D-02 an audience of the configuration", { audience: "sandbox-api" }, undefined],
    ["D-02 an audience that nobody named", { audience: "sandbox-api-2" }, "options.audience"],
    ["D-08 the control plane's audience", { audience: "sandgate" }, "options.audience"],
    ["S0-06 no binding", { enforceContainerBinding: false }, "options"],
    ["S0-06 no gateway", { useEgressGateway: false }, "options"],
    ["S0-06 no central egress", { enforceCentralizedEgress: false }, "options"],
    ["D-07 a key", { audience: "sandbox-api", confirmation: key }, undefined],
    ["D-07 a key for the proxy, which sees none", { confirmation: key }, "options.confirmation"],
    [
      "D-07 a short hash",
      { audience: "sandbox-api", confirmation: { ...key, thumbprint: "k" } },
      "options.confirmation",
    ],
    [
      "D-07 a hash in hexadecimal",
      { audience: "sandbox-api", confirmation: { kind: "certificate" as const, sha256: "a".repeat(64) } },
      "options.confirmation",
    ],
  ])("%s", (_name, request, field) => {
    const outcome = plan(request);
    expect("fault" in outcome ? outcome.fault.field : undefined).toBe(field);
  });

  it("S0-06 lets a configuration for development enforce less", () => {
    expect(plan({ enforceContainerBinding: false }, { mayBeUnenforced: true })).toMatchObject({
      plan: { enforceContainerBinding: false, useEgressGateway: true },
    });
  });
});
