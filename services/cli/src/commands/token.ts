import { AuthService, CreateUserTokenResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate token`: a session token of the caller's, for clients that cannot present a certificate. Standard output only. */
export async function printToken(context: CommandContext): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .createUserToken({}, { signal: context.interruptions.signal });
  connection.close();
  context.output.document(messageJson(CreateUserTokenResponseSchema, response));
  context.output.line(response.token);
  return exitCodes.ok;
}
