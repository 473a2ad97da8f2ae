import { readFile } from "node:fs/promises";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { SecretInput } from "./secret-input.ts";

/** The secret of a provider: from a file, a pipe, or a person who types it twice. Never from an argument, which every process can read. */
export async function readProviderSecret(file: string | undefined): Promise<string> {
  if (file === undefined) return new SecretInput({ stdin: process.stdin, stderr: process.stderr }).askNew("Secret");
  try {
    return (await readFile(file, "utf8")).replace(/\r?\n$/, "");
  } catch (cause) {
    throw new CommandFailure({ message: `${file} cannot be read`, exitCode: exitCodes.usage }, { cause });
  }
}
