import { AuthService, RevokeSigningKeyResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatSigningKeys } from "../signing-key-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate keys revoke`. */
export interface RevokeKeyOptions {
  readonly reason: string;
}

/** `sandgate keys revoke`: nothing that the key signed counts any more, anywhere. */
export async function revokeKey(context: CommandContext, kid: string, options: RevokeKeyOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .revokeSigningKey({ kid, reason: options.reason }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(RevokeSigningKeyResponseSchema, response));
  output.line(formatSigningKeys(response.keys, output.colors));
  return exitCodes.ok;
}
