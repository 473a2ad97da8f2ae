import { generateKeyPairSync } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKeySet } from "@sandgate/identity";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadSigningKeys, SigningKeysError } from "./signing-keys.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "keys-"));
});
afterEach(() => rm(directory, { recursive: true }));

const kidsOf = (jwksJson: string) => JSON.parse(jwksJson).keys.map(({ kid }: { kid: string }) => kid);

describe("loadSigningKeys", () => {
  it("G-07, D-12 makes keys that only their owner can read, once", async () => {
    const first = await loadSigningKeys(directory);
    expect(await readdir(directory)).toEqual(["eddsa.current.pem", "es256.current.pem"]);
    for (const name of await readdir(directory)) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    expect((await loadSigningKeys(directory)).jwksJson).toBe(first.jwksJson);
  });

  it("agrees on the first keys when replicas start together", async () => {
    const replicas = await Promise.all(Array.from({ length: 6 }, () => loadSigningKeys(directory)));
    expect(new Set(replicas.map(({ jwksJson }) => jwksJson)).size).toBe(1);
    expect(await readdir(directory)).toHaveLength(2);
  });

  it("G-08 publishes the next and the previous key, and signs with the current one", async () => {
    const before = await loadSigningKeys(directory);
    await rename(join(directory, "es256.current.pem"), join(directory, "es256.previous.pem"));
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    await writeFile(join(directory, "es256.next.pem"), pem, { mode: 0o600 });
    const after = await loadSigningKeys(directory);
    expect(kidsOf(after.jwksJson)).toHaveLength(4);
    expect(after.current("ES256").kid).not.toBe(before.current("ES256").kid);
    expect(after.find(before.current("ES256").kid)).toBeDefined();
    expect(createKeySet(after.jwksJson).find(before.current("ES256").kid)?.algorithm).toBe("ES256");
  });

  it.each<[string, (file: string) => Promise<void>]>([
    ["that others can read", (file) => chmod(file, 0o644)],
    ["that is no key", (file) => writeFile(file, "no key", { mode: 0o600 })],
    [
      "of another algorithm",
      async (file) => writeFile(file, await readFile(file.replace("eddsa", "es256")), { mode: 0o600 }),
    ],
  ])("refuses a file %s and names it", async (_name, spoil) => {
    await loadSigningKeys(directory);
    const file = join(directory, "eddsa.current.pem");
    await spoil(file);
    await expect(loadSigningKeys(directory)).rejects.toThrow(SigningKeysError);
    await expect(loadSigningKeys(directory)).rejects.toThrow(file);
  });
});
