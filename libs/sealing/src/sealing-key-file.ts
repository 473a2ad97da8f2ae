import { randomBytes, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { link, mkdir, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { readSecretFile } from "@sandgate/config";
import { SealingError } from "./sealing-error.ts";

const KEY_BYTES = 32;

/**
 * The keys of a file, one on a line: 32 bytes in base64url. Undefined where there is no file. Throws SealingError where a line is no such
 * key, or one is there twice, and ConfigError for a file that others can read.
 */
export function readSealingKeys(file: string): readonly Buffer[] | undefined {
  if (!existsSync(file)) return undefined;
  const lines = readSecretFile(file).reveal().split(/\r?\n/);
  const keys = lines.map((line) => Buffer.from(line, "base64url"));
  if (keys.some((key) => key.length !== KEY_BYTES))
    throw new SealingError(`${file}: does not hold 32 bytes in base64url on each line`);
  if (new Set(keys.map((key) => key.toString("hex"))).size !== keys.length)
    throw new SealingError(`${file}: holds a key twice`);
  return keys;
}

/** Writes a file with a new key, whole under another name, and links it: whoever links first has made it, everybody else reads that one. */
export async function makeSealingKeyFile(file: string): Promise<void> {
  const temporary = `${file}.${randomUUID()}`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(temporary, `${randomBytes(KEY_BYTES).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
    await link(temporary, file);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST"))
      throw new SealingError(`${file}: cannot be written`, { cause });
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}
