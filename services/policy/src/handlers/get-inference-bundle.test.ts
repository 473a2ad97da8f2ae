import { Action, ProviderKind } from "@sandgate/api/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

const policy = {
  rules: [
    { name: "models", action: Action.ALLOW, hosts: ["models.example.com"] },
    { name: "other", action: Action.ALLOW, hosts: ["other.example.com"], ports: [8443] },
  ],
  inference: {
    routes: [
      {
        name: "chat",
        host: "models.example.com",
        path: "/v1/",
        models: ["small-*", "large"],
        credential: "models-key",
      },
      { name: "open", host: "other.example.com", port: 8443, models: ["*"] },
    ],
  },
};

describe("GetInferenceBundle", () => {
  it("G-21 tells the sandbox, and users, of the routes with placeholders alone", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy });
    for (const client of [fixture.asSandbox(sandbox), fixture.policy])
      expect(await client.getInferenceBundle({ sandbox })).toMatchObject({
        policyRevision: 1n,
        routes: [
          {
            name: "chat",
            baseUrl: "https://models.example.com/v1",
            models: ["small-*", "large"],
            credential: { name: "models-key", text: expect.stringMatching(/^sandgate-placeholder-[a-z2-7]{32}$/) },
          },
          { name: "open", baseUrl: "https://other.example.com:8443", models: ["*"] },
        ],
      });
  });

  it("G-21 tells of a base URL by which the proxy puts the credential in, while there is a provider for it", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy });
    const baseUrl = async () => (await fixture.policy.getInferenceBundle({ sandbox })).routes[0]?.baseUrl;
    const provider = { name: "models-key", kind: ProviderKind.BEARER, endpoints: [{ host: "models.example.com" }] };
    await fixture.policy.createProvider({ provider, secret: "sk-0123456" });
    expect(await baseUrl()).toBe("http://models.example.com:443/v1");
    const elsewhere = { ...provider, endpoints: [{ host: "models.example.com", path: "/v2" }] };
    await fixture.policy.updateProvider({ name: "models-key", provider: elsewhere, secret: "sk-0123456" });
    expect(await baseUrl()).toBe("https://models.example.com/v1");
  });

  it("is empty where the newest policy grants none, and where there is no policy", async () => {
    const [granted, bare] = [fixture.register(), fixture.register()];
    await fixture.policy.setPolicy({ sandbox: granted, policy });
    await fixture.policy.setPolicy({ sandbox: granted, policy: { rules: policy.rules } });
    expect(await fixture.policy.getInferenceBundle({ sandbox: granted })).toMatchObject({
      policyRevision: 2n,
      routes: [],
    });
    expect(await fixture.policy.getInferenceBundle({ sandbox: bare })).toMatchObject({
      policyRevision: 0n,
      routes: [],
    });
  });
});
