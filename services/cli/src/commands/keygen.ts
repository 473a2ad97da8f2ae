import { resolve } from "node:path";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { completeEgressKey } from "../pki/token-keys.ts";

/** Options of `sandgate keygen`. */
export interface KeygenOptions {
  readonly out: string;
}

/** `sandgate keygen`: the key pair of container tokens (S0-01). Prints the public half alone. */
export async function keygen(context: CommandContext, options: KeygenOptions): Promise<number> {
  const { output } = context;
  const { created, jwk } = await completeEgressKey(resolve(options.out));
  output.document({ created, directory: resolve(options.out), jwk });
  output.line(JSON.stringify(jwk));
  if (!created) output.note("the key that is there was kept");
  return exitCodes.ok;
}
