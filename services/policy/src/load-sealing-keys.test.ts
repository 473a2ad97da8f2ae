import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SealingError } from "@sandgate/sealing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadSealingKeys } from "./load-sealing-keys.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "keys-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** A database with so many providers. */
const databaseOf = (count: number) => ({
  query: async <R extends object>() => ({ rows: Array.from({ length: count }, () => ({}) as R), rowCount: count }),
});

describe("loadSealingKeys", () => {
  it("makes the file while nothing is sealed, and takes it from then on", async () => {
    const file = join(directory, "new.key");
    const made = await loadSealingKeys(file, databaseOf(0));
    const again = await loadSealingKeys(file, databaseOf(1));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(again?.open(made?.seal(Buffer.from("x"), "a") ?? new Uint8Array(), "a").toString()).toBe("x");
  });

  it("does not replace a file that secrets were sealed with, nor do without it", async () => {
    await expect(loadSealingKeys(join(directory, "gone.key"), databaseOf(1))).rejects.toThrow(SealingError);
    await expect(loadSealingKeys(undefined, databaseOf(1))).rejects.toThrow(SealingError);
    expect(await loadSealingKeys(undefined, databaseOf(0))).toBeUndefined();
  });
});
