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

it.each([
  [{ pageSize: -1 }, "page_size"],
  [{ phases: [Phase.UNSPECIFIED] }, "phases"],
  [{ phases: [99] }, "phases"],
])("refuses %o", async (request, field) => {
  await expect(service.asUser().listSandboxes(request)).rejects.toMatchObject({
    reason: "REQUEST_INVALID",
    metadata: { field },
  });
});
