import { AuthService, RotateSigningKeysResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatSigningKeys } from "../signing-key-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate keys rotate`. */
export interface RotateKeysOptions {
  readonly algorithm?: string;
}

/** `sandgate keys rotate`: the keys that wait sign, as soon as everybody who verifies can know them. No token becomes invalid. */
export async function rotateKeys(context: CommandContext, options: RotateKeysOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .rotateSigningKeys({ algorithm: options.algorithm ?? "" }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(RotateSigningKeysResponseSchema, response));
  if (!response.rotated) output.note("nothing was changed: a rotation is under way");
  output.line(formatSigningKeys(response.keys, output.colors));
  return exitCodes.ok;
}
