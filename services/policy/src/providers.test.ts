import { createHash, randomBytes } from "node:crypto";
import { Action, ProviderKind } from "@sandgate/api/policy";
import { createKeyRing } from "@sandgate/sealing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { organizationId, type PolicyFixture, readerOf, reasonOf, startPolicyFixture } from "./policy-module.fixture.ts";

const [oldKey, newKey] = [randomBytes(32), randomBytes(32)];
const secret = "sk-live-0123456789abcdef";
let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture({ sealingKeys: createKeyRing([oldKey]) });
});
afterAll(() => fixture.stop());

let made = 0;
function provider(more: object = {}) {
  made += 1;
  return {
    name: `models-${made}`,
    kind: ProviderKind.BEARER,
    endpoints: [{ host: "api.example.com", path: "/v1" }],
    environment: "MODELS_KEY",
    baseUrlEnvironment: "MODELS_URL",
    ...more,
  };
}
const rules = [{ name: "one", action: Action.ALLOW, hosts: ["api.example.com"] }];

async function sandboxWith(...providers: string[]): Promise<string> {
  const sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: { rules, providers } });
  return sandbox;
}
const environmentOf = async (sandbox: string) =>
  (await fixture.asSandbox(sandbox).getSandboxProviderEnvironment({ sandbox })).environment;

/** What a proxy is told of a sandbox's providers. */
async function pushedFor(sandbox: string) {
  const reader = readerOf(fixture.proxy.watchPolicies({}));
  for (;;) {
    const message = await reader.next();
    if (!message.upserted.some(({ sandboxId }) => sandboxId === sandbox)) continue;
    await reader.end();
    return message.providers.find(({ sandboxId }) => sandboxId === sandbox)?.providers ?? [];
  }
}

async function releaseRequest(sandbox: string, variable = "MODELS_KEY") {
  const [bound] = await pushedFor(sandbox);
  return {
    sandboxId: sandbox,
    placeholder: (await environmentOf(sandbox))[variable] ?? "",
    providerId: bound?.providerId ?? "",
    version: bound?.provider?.version ?? 0n,
  };
}

describe("a provider", () => {
  it("is stored in canonical form, read by name and listed, without its secret", async () => {
    const written = provider();
    const created = (await fixture.policy.createProvider({ provider: written, secret })).provider;
    expect(created).toMatchObject({ ...written, version: 1n, endpoints: [{ port: 443, path: "/v1" }] });
    expect((await fixture.policy.getProvider({ name: written.name })).provider).toEqual(created);
    const listed = await fixture.policy.listProviders({ pageSize: 1000 });
    expect(listed.providers).toContainEqual(created);
    expect(JSON.stringify(listed, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
      secret,
    );
  });

  it("is listed in pages, by name", async () => {
    const names = await Promise.all(
      ["z-a", "z-b", "z-c"].map(async (name) => {
        await fixture.policy.createProvider({ provider: provider({ name }), secret });
        return name;
      }),
    );
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await fixture.policy.listProviders({ pageSize: 2, pageToken });
      seen.push(...page.providers.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([...seen].sort());
    expect(seen).toEqual(expect.arrayContaining(names));
  });

  it("G-25 is not there for another organization, which may have one of the same name", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    expect(await reasonOf(fixture.foreigner.getProvider({ name: written.name }))).toBe("PROVIDER_NOT_FOUND");
    expect(await reasonOf(fixture.foreigner.updateProvider({ name: written.name, secret }))).toBe("PROVIDER_NOT_FOUND");
    expect(await reasonOf(fixture.foreigner.deleteProvider({ name: written.name }))).toBe("PROVIDER_NOT_FOUND");
    await fixture.foreigner.createProvider({ provider: { ...written, environment: "THEIRS" }, secret: "sk-theirs" });
    expect(await environmentOf(await sandboxWith(written.name))).toHaveProperty("MODELS_KEY");
  });

  it("is created once for each request id, by the same request alone", async () => {
    const request = { requestId: crypto.randomUUID(), provider: provider(), secret };
    const first = await fixture.policy.createProvider(request);
    expect(await fixture.policy.createProvider(request)).toEqual(first);
    expect(await reasonOf(fixture.policy.createProvider({ ...request, secret: "sk-another" }))).toBe(
      "REQUEST_ID_REUSED",
    );
    expect(await reasonOf(fixture.policy.createProvider({ ...request, requestId: "" }))).toBe("PROVIDER_EXISTS");
    const rotation = { requestId: crypto.randomUUID(), name: request.provider.name, secret: "sk-next-1" };
    expect((await fixture.policy.updateProvider(rotation)).provider?.version).toBe(2n);
    expect((await fixture.policy.updateProvider(rotation)).provider?.version).toBe(2n);
    const removal = { requestId: crypto.randomUUID(), name: request.provider.name };
    await fixture.policy.deleteProvider(removal);
    await fixture.policy.deleteProvider(removal);
    expect(await reasonOf(fixture.policy.deleteProvider({ name: removal.name }))).toBe("PROVIDER_NOT_FOUND");
  });

  it.each([
    ["a fault in its settings", { provider: provider({ kind: 0 }), secret }, "kind"],
    ["a secret that would end the header", { provider: provider(), secret: "x\r\nhost: evil.example" }, "secret"],
    ["no secret", { provider: provider(), secret: "" }, "secret"],
  ])("is refused with %s, without a word of the secret", async (_name, request, field) => {
    const fault = await fixture.policy.createProvider(request).catch((error: unknown) => error);
    expect(fault).toMatchObject({ reason: "PROVIDER_INVALID", metadata: { field } });
    expect(JSON.stringify(fault)).not.toContain("evil");
  });

  it("is not changed without its secret: nobody who does not know it sends it elsewhere", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const elsewhere = provider({ name: written.name, endpoints: [{ host: "evil.example" }] });
    expect(await reasonOf(fixture.policy.updateProvider({ name: written.name, provider: elsewhere }))).toBe(
      "PROVIDER_INVALID",
    );
    expect((await fixture.policy.getProvider({ name: written.name })).provider?.endpoints[0]?.host).toBe(
      "api.example.com",
    );
  });

  it("G-31 leaves a record of each change and release, without the secret", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const sandbox = await sandboxWith(written.name);
    await fixture.policy.updateProvider({ name: written.name, secret: "sk-next-0123456789" });
    await fixture.proxy.releaseProviderSecret(await releaseRequest(sandbox));
    await fixture.policy.deleteProvider({ name: written.name });
    const { events } = await fixture.database.audit.list({ organizationId, pageSize: 1000, pageToken: "" });
    const own = events.filter(({ details }) => details.provider === written.name).reverse();
    expect(own.map(({ action, sandboxId }) => [action, sandboxId])).toEqual([
      ["provider.created", ""],
      ["provider.updated", ""],
      ["provider.secret_released", sandbox],
      ["provider.deleted", ""],
    ]);
    expect(JSON.stringify(own, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toMatch(/sk-/);
  });
});

describe("GetSandboxProviderEnvironment", () => {
  it("G-21 tells a sandbox, and users, of placeholders and base URLs alone", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const sandbox = await sandboxWith(written.name);
    const expected = {
      MODELS_KEY: expect.stringMatching(/^sandgate-placeholder-[a-z2-7]{32}$/),
      MODELS_URL: "http://api.example.com:443/v1",
    };
    expect(await environmentOf(sandbox)).toEqual(expected);
    expect((await fixture.policy.getSandboxProviderEnvironment({ sandbox })).environment).toEqual(expected);
  });

  it("gives each sandbox a placeholder of its own, which lasts through rotations and policies that name the provider", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const [one, other] = [await sandboxWith(written.name), await sandboxWith(written.name)];
    const before = (await environmentOf(one)).MODELS_KEY;
    expect((await environmentOf(other)).MODELS_KEY).not.toBe(before);
    await fixture.policy.updateProvider({ name: written.name, secret: "sk-next-1" });
    await fixture.policy.setPolicy({ sandbox: one, policy: { rules, providers: [written.name, "more"] } });
    expect((await environmentOf(one)).MODELS_KEY).toBe(before);
    await fixture.policy.setPolicy({ sandbox: one, policy: { rules } });
    expect(await environmentOf(one)).toEqual({});
    await fixture.policy.setPolicy({ sandbox: one, policy: { rules, providers: [written.name] } });
    expect((await environmentOf(one)).MODELS_KEY).not.toBe(before);
  });

  it("tells of no provider that does not exist, or does not any more", async () => {
    const written = provider();
    const sandbox = await sandboxWith(written.name);
    expect(await environmentOf(sandbox)).toEqual({});
    await fixture.policy.createProvider({ provider: written, secret });
    expect(await environmentOf(sandbox)).toHaveProperty("MODELS_KEY");
    await fixture.policy.deleteProvider({ name: written.name });
    expect(await environmentOf(sandbox)).toEqual({});
  });
});

describe("WatchPolicies", () => {
  it("tells of the providers beside the policy, with a digest of the placeholder and nothing of the secret", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const sandbox = await sandboxWith(written.name);
    const [bound] = await pushedFor(sandbox);
    const placeholder = (await environmentOf(sandbox)).MODELS_KEY ?? "";
    expect(bound).toMatchObject({ provider: { name: written.name, version: 1n } });
    expect(Buffer.from(bound?.placeholderDigest ?? [])).toEqual(createHash("sha256").update(placeholder).digest());
    expect(JSON.stringify(bound?.provider?.endpoints)).not.toContain(secret);
  });

  it("tells of every change of a provider to the sandboxes that may use it, and of no other", async () => {
    const written = provider();
    const [sandbox, other] = [await sandboxWith(written.name), await sandboxWith()];
    const reader = readerOf(fixture.proxy.watchPolicies({}));
    let known = false;
    const next = async () => {
      for (;;) {
        const message = await reader.next();
        const named = message.upserted.map(({ sandboxId }) => sandboxId);
        if (known && named.length > 0) {
          expect(named).not.toContain(other);
          return message.providers.flatMap(({ providers }) => providers.map(({ provider }) => provider?.version));
        }
        if (named.includes(sandbox)) known = true;
        if (known) return undefined;
      }
    };
    await next();
    await fixture.policy.createProvider({ provider: written, secret });
    expect(await next()).toEqual([1n]);
    await fixture.policy.updateProvider({ name: written.name, secret: "sk-next-1" });
    expect(await next()).toEqual([2n]);
    await fixture.policy.deleteProvider({ name: written.name });
    expect(await next()).toEqual([]);
    await reader.end();
  });

  it("stays within the size of a message however many providers there are", async () => {
    const endpoints = Array.from({ length: 20 }, (_, index) => ({
      host: `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.h${index}.example.com`,
      path: `/${"p".repeat(190)}`,
    }));
    const names = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const written = provider({ endpoints });
        await fixture.policy.createProvider({ provider: written, secret });
        return written.name;
      }),
    );
    const sandboxes = new Set<string>();
    for (let index = 0; index < 8; index++) sandboxes.add(await sandboxWith(...names));
    const reader = readerOf(fixture.proxy.watchPolicies({}));
    const versions: bigint[] = [];
    while (sandboxes.size > 0) {
      const message = await reader.next();
      versions.push(message.version);
      for (const { sandboxId, providers } of message.providers)
        if (sandboxes.delete(sandboxId)) expect(providers).toHaveLength(50);
    }
    await reader.end();
    expect(new Set(versions.slice(0, -1))).toEqual(new Set([0n])); // resumed there, everything is told again
    expect(versions.at(-1)).toBeGreaterThan(0n);
    for (const name of names) await fixture.policy.deleteProvider({ name });
  });
});

describe("ReleaseProviderSecret", () => {
  it("hands the proxy the secret of the newest version, and refuses any other", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const sandbox = await sandboxWith(written.name);
    const request = await releaseRequest(sandbox);
    expect(await fixture.proxy.releaseProviderSecret(request)).toMatchObject({ secret });
    await fixture.policy.updateProvider({ name: written.name, secret: "sk-next-1" });
    expect(await reasonOf(fixture.proxy.releaseProviderSecret(request))).toBe("PROVIDER_CHANGED");
    expect(await fixture.proxy.releaseProviderSecret({ ...request, version: 2n })).toMatchObject({
      secret: "sk-next-1",
    });
  });

  it("does not take the placeholder of another sandbox, nor of a provider that took over the name", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const [sandbox, other] = [await sandboxWith(written.name), await sandboxWith(written.name)];
    const request = await releaseRequest(sandbox);
    const stolen = { ...request, placeholder: (await environmentOf(other)).MODELS_KEY ?? "" };
    expect(await reasonOf(fixture.proxy.releaseProviderSecret(stolen))).toBe("PROVIDER_NOT_FOUND");
    await fixture.policy.deleteProvider({ name: written.name });
    expect(await reasonOf(fixture.proxy.releaseProviderSecret(request))).toBe("PROVIDER_NOT_FOUND");
    await fixture.policy.createProvider({ provider: written, secret: "of another" });
    expect(await reasonOf(fixture.proxy.releaseProviderSecret(request))).toBe("PROVIDER_CHANGED");
  });

  it("G-15 knows no placeholder of a sandbox that is gone, or whose policy does not name the provider any more", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const [sandbox, gone] = [await sandboxWith(written.name), await sandboxWith(written.name)];
    const [request, ofGone] = [await releaseRequest(sandbox), await releaseRequest(gone)];
    await fixture.policy.setPolicy({ sandbox, policy: { rules } });
    expect(await reasonOf(fixture.proxy.releaseProviderSecret(request))).toBe("PROVIDER_NOT_FOUND");
    fixture.retire(gone);
    await expect.poll(() => reasonOf(fixture.proxy.releaseProviderSecret(ofGone))).toBe("PROVIDER_NOT_FOUND");
    expect(
      (await fixture.database.pool.query(`select from provider_grants where sandbox_id = $1`, [gone])).rows,
    ).toEqual([]);
  });
});

describe("a secret at rest", () => {
  /** Everything that any table of the service holds, as text. */
  async function dump(): Promise<string> {
    const { rows: tables } = await fixture.database.pool.query<{ name: string }>(
      `select table_name as name from information_schema.tables where table_schema = 'policy' and table_type = 'BASE TABLE'`,
    );
    const parts = await Promise.all(
      tables.map(async ({ name }) => {
        const { rows } = await fixture.database.pool.query(`select * from "${name}"`);
        return rows
          .flatMap((row) => Object.values(row))
          .map((value) =>
            Buffer.isBuffer(value) ? value.toString("latin1") : JSON.stringify(value, (_, inner) => String(inner)),
          )
          .join("\n");
      }),
    );
    return parts.join("\n");
  }

  it("G-12 is nowhere in the database as it is, nor as a digest that could be guessed at", async () => {
    const own = "sk-nowhere-0123456789";
    const written = provider();
    const requestId = crypto.randomUUID();
    await fixture.policy.createProvider({ requestId, provider: written, secret: own });
    await fixture.proxy.releaseProviderSecret(await releaseRequest(await sandboxWith(written.name)));
    const text = await dump();
    expect(text).toContain(written.name);
    for (const form of [own, Buffer.from(own).toString("base64"), Buffer.from(own).toString("hex")])
      expect(text).not.toContain(form);
    expect(text).not.toContain(createHash("sha256").update(own).digest().toString("latin1"));
  });

  it("is not sent elsewhere by who can write into the database: a changed row opens nothing", async () => {
    const [written, evil] = [provider(), provider({ endpoints: [{ host: "evil.example" }] })];
    await fixture.policy.createProvider({ provider: written, secret });
    await fixture.policy.createProvider({ provider: evil, secret: "sk-other-1" });
    const sandbox = await sandboxWith(written.name);
    const request = await releaseRequest(sandbox);
    await fixture.database.pool.query(
      `update providers set settings = (select settings from providers where name = $2) where name = $1`,
      [written.name, evil.name],
    );
    expect(await reasonOf(fixture.proxy.releaseProviderSecret(request))).toBe("INTERNAL");
    await fixture.database.pool.query(`delete from providers where name = $1`, [written.name]);
  });

  it("is sealed with the newest key at the start, after which the old one is not needed", async () => {
    const written = provider();
    await fixture.policy.createProvider({ provider: written, secret });
    const request = await releaseRequest(await sandboxWith(written.name));
    const release = (keys: Buffer[]) => async () => {
      const replica = fixture.createReplica({ sealingKeys: createKeyRing(keys) });
      await replica.module.start();
      const outcome = await reasonOf(replica.proxy.releaseProviderSecret(request));
      await replica.module.stop();
      return outcome;
    };
    expect(await release([newKey])()).toBe("INTERNAL"); // fails closed, and the service runs
    expect(await release([newKey, oldKey])()).toBe("OK");
    expect(await release([newKey])()).toBe("OK");
    expect(await release([oldKey, newKey])()).toBe("OK"); // back, for the other tests
  });

  it("needs a key: without one there are no providers", async () => {
    const replica = fixture.createReplica({ sealingKeys: undefined });
    expect(await reasonOf(replica.policy.createProvider({ provider: provider(), secret }))).toBe(
      "PROVIDERS_NOT_CONFIGURED",
    );
  });
});
