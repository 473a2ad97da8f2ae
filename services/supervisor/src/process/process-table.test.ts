import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { type ProcessLimitsSchema, StartProcessRequestSchema } from "@sandgate/api/sandbox";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { systemTimers } from "../timers.ts";
import { ProcessTable } from "./process-table.ts";
import type { WorkloadExit, WorkloadProcess } from "./workload-process.ts";

let directory: string;
let started: { end: (output?: string) => void }[];
let table: ProcessTable;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "table-"));
  started = [];
  table = createTable();
});
afterEach(() => rmSync(directory, { recursive: true }));

function createTable(): ProcessTable {
  return new ProcessTable({
    directory,
    workload: {
      start: async (): Promise<WorkloadProcess> => {
        const exited = Promise.withResolvers<WorkloadExit>();
        const stdout = new PassThrough();
        started.push({
          end: (output = "") => {
            stdout.end(output);
            exited.resolve({ kind: "exited", code: 0 });
          },
        });
        return {
          ...{ stdin: new PassThrough(), stdout, stderr: undefined, exited: exited.promise },
          ...{ signal: () => {}, kill: () => {}, resize: () => {}, discard: () => {}, usage: () => undefined },
        };
      },
    },
    egressRequests: () => 0,
    oomKills: () => undefined,
    timers: systemTimers,
    random: randomBytes,
    logger: { info: () => {}, warn: () => {}, error: () => {} },
  });
}

const start = (requestId: string, limits: Parameters<typeof create<typeof ProcessLimitsSchema>>[1] = {}) =>
  table.start(create(StartProcessRequestSchema, { requestId, start: { command: ["x"] }, limits }));

it("runs 64 at one time, and another when one has ended", async () => {
  for (let count = 0; count < 64; count += 1) await start(`request ${count}`);
  await expect(start("one more")).rejects.toMatchObject({ reason: "LIMIT_REACHED", metadata: { limit: "64" } });
  started[0]?.end();
  await table.find((await start("request 0")).processId)?.ended;
  await start("one more");
  expect(started).toHaveLength(65);
});

it("lets those that run keep 1 GiB together", async () => {
  const keptOutputBytes = 256n * 1024n * 1024n;
  for (let count = 0; count < 4; count += 1) await start(`request ${count}`, { keptOutputBytes });
  await expect(start("one more")).rejects.toMatchObject({
    reason: "LIMIT_REACHED",
    metadata: { limit: String(1024 * 1024 * 1024) },
  });
});

it("forgets the oldest of those that have ended, with everything that is kept of it", async () => {
  const ids: string[] = [];
  for (let count = 0; count < 70; count += 1) {
    const { processId } = await start(`request ${count}`);
    ids.push(processId);
    started.at(-1)?.end("output");
    await table.find(processId)?.ended;
  }
  await vi.waitFor(() => expect(table.list()).toHaveLength(64));
  expect(table.list().map(({ processId }) => processId)).toEqual(ids.slice(6));
  expect(new Set(readdirSync(directory).map((file) => file.split(".")[0])).size).toBe(64);
  // whose request id is free again
  await start("request 0");
  expect(started).toHaveLength(71);
});

it("begins with what an earlier supervisor left, and removes what belongs to nothing", async () => {
  const { processId } = await start("request");
  started[0]?.end("output");
  await table.find(processId)?.ended;
  writeFileSync(join(directory, `prc-${"z".repeat(20)}.0.out`), "of a call that is gone");
  writeFileSync(join(directory, "main.0.out"), "the main process's");
  await vi.waitFor(() => {
    table = createTable();
    expect(table.list()).toMatchObject([{ processId, outputEndOffset: 6n, end: { exit: { code: 0 } } }]);
  });
  expect(readdirSync(directory).sort()).toEqual(["main.0.out", `${processId}.0.out`, `${processId}.json`].sort());
});
