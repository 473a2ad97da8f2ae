import { readFileSync } from "node:fs";
import { formatClientFile } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";

/** `sandgate client-file`: prints what a user needs to reach this suite and log in: addresses and its authority, no credential. */
export async function printClientFile(context: CommandContext): Promise<number> {
  const file = context.clientFile();
  const pem = "pem" in file.serviceCa ? file.serviceCa.pem : readFileSync(file.serviceCa.file, "utf8");
  process.stdout.write(formatClientFile({ ...file, serviceCa: { pem }, operator: undefined }));
  return exitCodes.ok;
}
