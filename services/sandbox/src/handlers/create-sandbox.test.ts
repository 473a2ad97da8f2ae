import { toJson } from "@bufbuild/protobuf";
import { CreateSandboxResponseSchema, Phase } from "@sandgate/api/sandbox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningService, startSandboxService } from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

let database: SandboxDatabase;
let service: RunningService;
const world = new ScriptedWorld();

beforeAll(async () => {
  database = await createSandboxDatabase();
  service = await startSandboxService(database, world);
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const countRows = async () => (await service.asUser().listSandboxes({})).sandboxes.length;

describe("CreateSandbox", () => {
  it("names every field that is at fault, and stores nothing", async () => {
    const before = await countRows();
    const request = { requestId: "x", name: "sbx-1", spec: { command: [""], limits: { processes: 1 } } };
    await expect(service.asUser().createSandbox(request)).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "request_id,name,spec.command,spec.limits.processes" },
    });
    expect(await countRows()).toBe(before);
  });

  it("refuses labels that are none, and the same request with other labels", async () => {
    await expect(service.create({ labels: { "sandgate.dev/x": "1" } })).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "labels" },
    });
    const request = { requestId: crypto.randomUUID(), labels: { team: "web", tier: "b" } };
    const first = await service.asUser().createSandbox(request);
    const again = await service.asUser().createSandbox({ ...request, labels: { tier: "b", team: "web" } });
    expect(again.sandbox?.id).toBe(first.sandbox?.id);
    expect(again.sandbox?.labels).toEqual({ team: "web", tier: "b" });
    await expect(service.asUser().createSandbox({ ...request, labels: { team: "web" } })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
  });

  it("refuses a policy that cannot be enforced before anything is stored", async () => {
    const before = await countRows();
    const policy = { rules: [{ name: "r", action: 1, hosts: ["*.com"] }] };
    await expect(service.create({ policy })).rejects.toMatchObject({
      reason: "POLICY_INVALID",
      metadata: { rule: "r" },
    });
    expect(await countRows()).toBe(before);
  });

  it("refuses on a machine that can run no sandbox, and says how to mend that", async () => {
    const isolation = async () => ({
      guarantees: [],
      gaps: [],
      refusal: { fault: "no bwrap", mend: "apt-get install bubblewrap" },
    });
    const helpless = await startSandboxService(database, world, { deps: { driver: { ...world.driver, isolation } } });
    await expect(helpless.create()).rejects.toMatchObject({
      reason: "ISOLATION_NOT_AVAILABLE",
      metadata: { mend: "apt-get install bubblewrap" },
    });
    expect(await helpless.asUser().getIsolation({})).toMatchObject({
      driver: "scripted",
      gaps: [{ name: "isolation", mend: "apt-get install bubblewrap" }],
    });
    await helpless.stop();
  });

  it("refuses more than the organization may have, names limit and use, and GetQuota shows both", async () => {
    const organization = crypto.randomUUID();
    const limits: Record<string, object> = { [organization]: { running_sandboxes: 1, processes: 300 } };
    const tight = await startSandboxService(database, world, { deps: { quotaOf: (id) => limits[id] ?? {} } });
    const user = tight.asUser(organization);
    const create = () => user.createSandbox({ requestId: crypto.randomUUID() });
    const { sandbox } = await create();
    await expect(create()).rejects.toMatchObject({
      reason: "QUOTA_EXCEEDED",
      metadata: { quota: "running_sandboxes", limit: "1", used: "1", added: "1" },
    });
    const { quotas } = await user.getQuota({});
    expect(quotas.map(({ name, limit, used }) => [name, limit, used])).toEqual([
      ["sandboxes", undefined, 1n],
      ["running_sandboxes", 1n, 1n],
      ["memory_bytes", undefined, 4n * 1024n ** 3n],
      ["processes", 300n, 256n],
    ]);
    await tight.create(); // another organization's matter
    await user.stopSandbox({ sandbox: sandbox?.id ?? "", requestId: crypto.randomUUID() });
    await expect
      .poll(() =>
        create().then(
          () => "created",
          () => "refused",
        ),
      )
      .toBe("created");
    const start = { sandbox: sandbox?.id ?? "", requestId: crypto.randomUUID() };
    await expect(user.startSandbox(start)).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED" });
    await tight.stop();
  });

  it("S0-30 answers with an id and where the sandbox stands, and with no credential (D-22, D-28)", async () => {
    const response = await service.asUser().createSandbox({ requestId: crypto.randomUUID() });
    expect(response.sandbox).toMatchObject({ id: expect.stringMatching(/^sbx-/), phase: Phase.PENDING });
    expect(JSON.stringify(toJson(CreateSandboxResponseSchema, response))).not.toMatch(/token|bootstrap/);
  });

  it("refuses an image where the driver has none, or allows it not, before anything is stored; and keeps the one that is asked for", async () => {
    const before = await countRows();
    await expect(service.create({ spec: { image: "python:3" } })).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "spec.image" },
    });
    const findImageFault = (image: string) => (image === "python:3" ? undefined : "is not allowed");
    const imaging = await startSandboxService(database, world, {
      deps: { driver: { ...world.driver, findImageFault } },
    });
    await expect(imaging.create({ spec: { image: "ruby:3" } })).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
    expect(await countRows()).toBe(before);
    const id = await imaging.create({ spec: { image: "python:3" } });
    expect((await imaging.asUser().getSandbox({ sandbox: id })).sandbox?.spec?.image).toBe("python:3");
    await imaging.stop();
  });

  it("gives a sandbox without a name one", async () => {
    const id = await service.create();
    expect((await service.asUser().getSandbox({ sandbox: id })).sandbox?.name).toBe(`box-${id.slice(4, 12)}`);
  });

  it("is in the audit log of the organization, and of no other (G-25, G-31)", async () => {
    const id = await service.create();
    const { events } = await service.asUser().listAuditEvents({ sandboxId: id });
    expect(events.map(({ action, principal }) => [action, principal]).at(-1)).toEqual([
      "sandbox.created",
      "spiffe://sandgate.local/user/0d9a0000-0000-4000-8000-00000000000a",
    ]);
    const foreign = service.asUser("0d9a0000-0000-4000-8000-000000000002");
    expect((await foreign.listAuditEvents({ sandboxId: id })).events).toEqual([]);
    await expect(foreign.listAuditEvents({ pageToken: "x" })).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
  });
});

describe("GetSandboxConfig", () => {
  it("tells a supervisor its spec, incarnation and policy revision (G-21)", async () => {
    const id = await service.create({ spec: { command: ["make"], environment: { A: "1" } } });
    expect(await service.asSandbox(id).getSandboxConfig({ sandboxId: id })).toMatchObject({
      incarnation: 1n,
      policyRevision: 1n,
      spec: { command: ["make"], environment: { A: "1" }, limits: { processes: 256 } },
    });
  });
});
