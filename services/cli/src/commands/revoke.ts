import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService, RevokeSandboxResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate revoke`. */
export interface RevokeOptions {
  readonly reason: string;
}

/** `sandgate revoke`: from now on no service and no proxy takes anything that the sandbox holds. */
export async function revoke(context: CommandContext, sandbox: string, options: RevokeOptions): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .revokeSandbox({ sandbox, reason: options.reason }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document(messageJson(RevokeSandboxResponseSchema, response));
  const at = response.revokeTime === undefined ? "" : ` at ${new Date(timestampMs(response.revokeTime)).toISOString()}`;
  context.output.line(`${escapeLine(sandbox)} revoked${at}`);
  return exitCodes.ok;
}
