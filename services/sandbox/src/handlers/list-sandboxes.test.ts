import { type ListSandboxesResponse, Phase } from "@sandgate/api/sandbox";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningService, startSandboxService } from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

let database: SandboxDatabase;
let service: RunningService;
const ids: string[] = [];
const foreign = "0d9a0000-0000-4000-8000-000000000002";

beforeAll(async () => {
  database = await createSandboxDatabase();
  service = await startSandboxService(database, new ScriptedWorld());
  for (let index = 0; index < 5; index += 1) ids.unshift(await service.create());
  await service.asUser(foreign).createSandbox({ requestId: crypto.randomUUID() });
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const idsOf = (page: ListSandboxesResponse) => page.sandboxes.map(({ id }) => id);

it("pages through the caller's organization alone, newest first (G-25)", async () => {
  const seen: string[] = [];
  for (let pageToken = ""; ; ) {
    const page = await service.asUser().listSandboxes({ pageSize: 2, pageToken });
    seen.push(...idsOf(page));
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect(seen).toEqual(ids);
  expect(idsOf(await service.asUser(foreign).listSandboxes({}))).toHaveLength(1);
});

it("refuses a token of another filter, of another organization, and one that it never made", async () => {
  const { nextPageToken } = await service.asUser().listSandboxes({ pageSize: 2 });
  const refused = { reason: "PAGE_TOKEN_INVALID" };
  const list = service.asUser().listSandboxes;
  await expect(list({ pageToken: nextPageToken, phases: [Phase.READY] })).rejects.toMatchObject(refused);
  await expect(list({ pageToken: "bm9uc2Vuc2U" })).rejects.toMatchObject(refused);
  await expect(service.asUser(foreign).listSandboxes({ pageToken: nextPageToken })).rejects.toMatchObject(refused);
});

it("keeps to labels and owner on every page, and its tokens to them", async () => {
  const labelled: string[] = [];
  for (const tier of ["a", "b", "a", "a"]) labelled.unshift(await service.create({ labels: { tier } }));
  const [third, second, , first] = labelled;
  const ownerUserId = "0D9A0000-0000-4000-8000-00000000000A";
  const filter = { labels: { tier: "a" }, ownerUserId, pageSize: 2 };
  const page = await service.asUser().listSandboxes(filter);
  expect(idsOf(page)).toEqual([third, second]);
  expect(page.sandboxes[0]?.labels).toEqual({ tier: "a" });
  await service.asUser().deleteSandbox({ sandbox: second ?? "", requestId: crypto.randomUUID() });
  await service.reach(second ?? "", Phase.DELETED); // where the next page begins does not depend on it
  const { nextPageToken } = page;
  expect(idsOf(await service.asUser().listSandboxes({ ...filter, pageToken: nextPageToken }))).toEqual([first]);
  for (const other of [{ labels: { tier: "b" } }, { labels: {} }, { ownerUserId: "" }])
    await expect(
      service.asUser().listSandboxes({ ...filter, ...other, pageToken: nextPageToken }),
    ).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
  const nobodys = { ownerUserId: "0d9a0000-0000-4000-8000-00000000000f" };
  expect(idsOf(await service.asUser().listSandboxes(nobodys))).toEqual([]);
  expect(idsOf(await service.asUser(foreign).listSandboxes({ labels: { tier: "a" } }))).toEqual([]);
});

it.each([
  [{ labels: { "-": "v" } }, "labels"],
  [{ ownerUserId: "me" }, "owner_user_id"],
  [{ pageSize: -1 }, "page_size"],
  [{ phases: [Phase.UNSPECIFIED] }, "phases"],
  [{ phases: [99] }, "phases"],
])("refuses %o", async (request, field) => {
  await expect(service.asUser().listSandboxes(request)).rejects.toMatchObject({
    reason: "REQUEST_INVALID",
    metadata: { field },
  });
});
