import { AuthService } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate api-key revoke`: from now on no service takes the key or anything that it was exchanged for. */
export async function revokeApiKey(context: CommandContext, apiKeyId: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  await connection.client("auth", AuthService).revokeApiKey({ apiKeyId }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document({ revoked: apiKeyId });
  context.output.line("revoked");
  return exitCodes.ok;
}
