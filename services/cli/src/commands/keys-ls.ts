import { AuthService, ListSigningKeysResponseSchema, SigningKeyState } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatSigningKeys } from "../signing-key-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate keys ls`. */
export interface ListKeysOptions {
  readonly all?: boolean;
}

const ended: ReadonlySet<SigningKeyState> = new Set([SigningKeyState.RETIRED, SigningKeyState.REVOKED]);

/** `sandgate keys ls`: the published keys; with `--all` those of the past, too. */
export async function listKeys(context: CommandContext, options: ListKeysOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .listSigningKeys({}, { signal: context.interruptions.signal });
  connection.close();
  if (options.all !== true) response.keys = response.keys.filter(({ state }) => !ended.has(state));
  output.document(messageJson(ListSigningKeysResponseSchema, response));
  output.line(formatSigningKeys(response.keys, output.colors));
  return exitCodes.ok;
}
