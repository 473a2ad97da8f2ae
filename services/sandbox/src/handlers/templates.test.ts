import { Action } from "@sandgate/api/policy";
import { IdleAction } from "@sandgate/api/sandbox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningService, startSandboxService } from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

let database: SandboxDatabase;
let service: RunningService;
const foreign = "0d9a0000-0000-4000-8000-000000000002";

beforeAll(async () => {
  database = await createSandboxDatabase();
  service = await startSandboxService(database, new ScriptedWorld());
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const template = {
  name: "builder",
  spec: {
    command: ["make"],
    environment: { CI: "1", LANG: "C" },
    limits: { processes: 64, openFiles: 512 },
    ttl: { seconds: 3600n },
    idleTimeout: { seconds: 600n },
    idleAction: IdleAction.DELETE,
  },
  policy: { rules: [{ name: "pkg", action: Action.ALLOW, hosts: ["pkg.example.com"] }] },
  labels: { team: "build", tier: "a" },
};
const make = (part: object = {}, requestId = crypto.randomUUID(), organization?: string) =>
  service.asUser(organization).createSandboxTemplate({ requestId, template: { ...template, ...part } });
const remove = (name: string, requestId = crypto.randomUUID()) =>
  service.asUser().deleteSandboxTemplate({ name, requestId });
const createFrom = async (name: string, part: object = {}, requestId = crypto.randomUUID()) =>
  (await service.asUser().createSandbox({ requestId, template: name, ...part })).sandbox;

describe("a template", () => {
  it("is kept, shown, listed by name and deleted, in its organization alone (G-25, A01)", async () => {
    const requestId = crypto.randomUUID();
    const first = await make({}, requestId);
    expect(first.template).toMatchObject({ name: "builder", labels: template.labels });
    expect(first.template?.creatorUserId).toBe("0d9a0000-0000-4000-8000-00000000000a");
    expect(await make({}, requestId)).toEqual(first);
    await expect(make({ labels: {} }, requestId)).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    await expect(make()).rejects.toMatchObject({ reason: "TEMPLATE_EXISTS" });
    await make({}, undefined, foreign);
    for (const name of ["agent", "zero"]) await make({ name });
    const names: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await service.asUser().listSandboxTemplates({ pageSize: 1, pageToken });
      names.push(...page.templates.map(({ name }) => name));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
      await expect(service.asUser(foreign).listSandboxTemplates({ pageToken })).rejects.toMatchObject({
        reason: "PAGE_TOKEN_INVALID",
      });
    }
    expect(names).toEqual(["agent", "builder", "zero"]);
    const removal = crypto.randomUUID();
    await remove("builder", removal);
    await remove("builder", removal);
    await expect(remove("builder")).rejects.toMatchObject({ reason: "TEMPLATE_NOT_FOUND" });
    await expect(service.asUser().getSandboxTemplate({ name: "builder" })).rejects.toMatchObject({
      reason: "TEMPLATE_NOT_FOUND",
    });
    expect((await service.asUser(foreign).getSandboxTemplate({ name: "builder" })).template?.name).toBe("builder");
    const { events } = await service.asUser().listAuditEvents({ action: "sandbox_template.deleted" });
    expect(events.map(({ details }) => details)).toEqual([{ template: "builder", request_id: removal }]);
  });

  it.each([
    [{ name: "" }, "REQUEST_INVALID", { field: "template.name" }],
    [{ name: "sbx-a" }, "REQUEST_INVALID", { field: "template.name" }],
    [{ spec: { command: [""] } }, "REQUEST_INVALID", { field: "template.spec.command" }],
    [{ spec: { environment: { API_TOKEN: "x" } } }, "REQUEST_INVALID", { field: "template.spec.environment" }],
    [{ labels: { "-": "" } }, "REQUEST_INVALID", { field: "template.labels" }],
    [{ policy: { rules: [{ name: "r", action: 1, hosts: ["*.com"] }] } }, "POLICY_INVALID", { rule: "r" }],
  ])("that says %j is refused: %s", async (part, reason, metadata) => {
    await expect(make({ name: "faulty", ...part })).rejects.toMatchObject({ reason, metadata });
  });
});

describe("a sandbox that is made from a template", () => {
  it("is as the template says where its request says nothing", async () => {
    await make({ name: "plain" });
    const sandbox = await createFrom("plain", { name: "one" });
    expect(sandbox).toMatchObject({
      name: "one",
      labels: template.labels,
      spec: { ...template.spec, limits: { processes: 64, openFiles: 512, processMemoryBytes: 4n * 1024n ** 3n } },
    });
    const { rows } = await database.pool.query<{ policy: Buffer }>("select policy from sandboxes where id = $1", [
      sandbox?.id,
    ]);
    expect(rows[0]?.policy.toString()).toContain("pkg.example.com");
    const { events } = await service.asUser().listAuditEvents({ sandboxId: sandbox?.id ?? "" });
    expect(events.at(-1)?.details).toMatchObject({ template: "plain" });
  });

  it("is as its request says where that says something, field by field and key by key", async () => {
    await make({ name: "base" });
    const sandbox = await createFrom("base", {
      spec: {
        command: ["make", "test"],
        environment: { LANG: "de", DEBUG: "1" },
        limits: { processes: 32 },
        ttl: { seconds: 0n },
      },
      labels: { tier: "b" },
      policy: {},
    });
    expect(sandbox).toMatchObject({
      labels: { team: "build", tier: "b" },
      spec: {
        command: ["make", "test"],
        environment: { CI: "1", LANG: "de", DEBUG: "1" },
        limits: { processes: 32, openFiles: 512 },
        idleTimeout: { seconds: 600n },
        idleAction: IdleAction.DELETE,
      },
    });
    expect(sandbox?.spec?.ttl).toBeUndefined();
    const { template: kept } = await service.asUser().getSandboxTemplate({ name: "base" });
    expect(kept?.spec).toMatchObject(template.spec);
  });

  it("is judged as a whole: what the two say together must be in order", async () => {
    const names = (prefix: string) => Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`${prefix}${i}`, ""]));
    await make({ name: "full", spec: { environment: names("A") } });
    await expect(createFrom("full", { spec: { environment: names("B") } })).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "spec.environment" },
    });
  });

  it("is the same for a repeated request, also when the template is gone (A01)", async () => {
    await make({ name: "gone" });
    const requestId = crypto.randomUUID();
    const first = await createFrom("gone", { labels: { a: "1", b: "2" } }, requestId);
    await remove("gone");
    expect(await createFrom("gone", { labels: { b: "2", a: "1" } }, requestId)).toEqual(first);
    await expect(createFrom("gone", {}, requestId)).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    await expect(createFrom("gone")).rejects.toMatchObject({ reason: "TEMPLATE_NOT_FOUND" });
  });

  it("is made from no template of another organization (G-25)", async () => {
    await make({ name: "theirs" }, undefined, foreign);
    await expect(createFrom("theirs")).rejects.toMatchObject({ reason: "TEMPLATE_NOT_FOUND" });
  });
});
