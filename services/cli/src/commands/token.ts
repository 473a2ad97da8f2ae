import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate token`: an access token of the caller's, for clients that cannot log in. Standard output only. */
export async function printToken(context: CommandContext): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const { signal } = context.interruptions;
  const { token, expiresAtMs } = (await connection.accessToken()) ?? (await createToken(connection, signal));
  connection.close();
  context.output.document({ token, expireTime: new Date(expiresAtMs).toISOString() });
  context.output.line(token);
  return exitCodes.ok;
}

/** For who comes with a certificate. */
async function createToken(connection: SuiteConnection, signal: AbortSignal) {
  const { token, expireTime } = await connection.client("auth", AuthService).createUserToken({}, { signal });
  if (expireTime === undefined) throw new Error("the service answered without a time");
  return { token, expiresAtMs: timestampMs(expireTime) };
}
