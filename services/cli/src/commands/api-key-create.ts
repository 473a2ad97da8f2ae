import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuthService, CreateApiKeyResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { type RoleName, roleOf } from "../role-name.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate api-key create`. */
export interface CreateApiKeyOptions {
  readonly role: RoleName;
  readonly expires?: number;
}

/** `sandgate api-key create`: prints the key, this once, on standard output. */
export async function createApiKey(
  context: CommandContext,
  name: string,
  options: CreateApiKeyOptions,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection.client("auth", AuthService).createApiKey(
    {
      name,
      role: roleOf(options.role),
      ...(options.expires === undefined ? {} : { expireTime: timestampFromMs(Date.now() + options.expires) }),
    },
    { signal: context.interruptions.signal },
  );
  connection.close();
  output.document(messageJson(CreateApiKeyResponseSchema, response));
  output.line(response.secret);
  output.note(`${response.apiKey?.apiKeyId}: keep it where only the program reads it; it is not shown again`);
  return exitCodes.ok;
}
