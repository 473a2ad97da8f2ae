import { randomBytes } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@sandgate/config";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SealingError } from "./sealing-error.ts";
import { makeSealingKeyFile, readSealingKeys } from "./sealing-key-file.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealing-"));
});
afterAll(() => rm(directory, { recursive: true }));

const key = () => randomBytes(32).toString("base64url");

async function fileWith(text: string, mode = 0o600): Promise<string> {
  const file = join(directory, crypto.randomUUID());
  await writeFile(file, text, { mode });
  return file;
}

describe("a sealing key file", () => {
  it("is made once, closed to others, whoever comes at the same time", async () => {
    const file = join(directory, "new", "sealing.key");
    await Promise.all([1, 2, 3].map(() => makeSealingKeyFile(file)));
    const made = readSealingKeys(file);
    await makeSealingKeyFile(file);
    expect(readSealingKeys(file)).toEqual(made);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it("may hold several keys", async () => {
    expect(readSealingKeys(await fileWith(`${key()}\n${key()}\n`))).toHaveLength(2);
  });

  it("may be missing", () => {
    expect(readSealingKeys(join(directory, "missing"))).toBeUndefined();
  });

  it.each(["short", `${key()}\n\n${key()}`, `${key()}\nshort`])("is refused when a line is no key", async (text) => {
    const file = await fileWith(text);
    expect(() => readSealingKeys(file)).toThrow(SealingError);
  });

  it("is refused when it holds a key twice, or when others can read it", async () => {
    const twice = key();
    const repeated = await fileWith(`${twice}\n${twice}\n`);
    expect(() => readSealingKeys(repeated)).toThrow(SealingError);
    const open = await fileWith(key(), 0o644);
    expect(() => readSealingKeys(open)).toThrow(ConfigError);
  });
});
