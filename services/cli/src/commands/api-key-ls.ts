import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type ApiKey, ApiKeySchema, AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** Options of `sandgate api-key ls`. */
export interface ListApiKeysOptions {
  readonly all?: boolean;
}

/** `sandgate api-key ls`: the caller's API keys, or for administrators the organization's. */
export async function listApiKeys(context: CommandContext, options: ListApiKeysOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const auth = connection.client("auth", AuthService);
  const keys: ApiKey[] = [];
  let pageToken = "";
  do {
    const page = await auth.listApiKeys(
      { pageSize: 1_000, pageToken, allUsers: options.all === true },
      { signal: context.interruptions.signal },
    );
    keys.push(...page.apiKeys);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  connection.close();

  output.document({ apiKeys: keys.map((key) => messageJson(ApiKeySchema, key)) });
  if (keys.length === 0) output.note("no keys");
  else
    output.line(
      formatTable(
        ["name", "role", "expires", "last used", "id", "user"],
        keys.map((key) => [
          escapeLine(key.name),
          (Role[key.role] ?? String(key.role)).toLowerCase(),
          key.expireTime === undefined ? "never" : new Date(timestampMs(key.expireTime)).toISOString(),
          key.lastUsedTime === undefined ? "never" : new Date(timestampMs(key.lastUsedTime)).toISOString(),
          key.apiKeyId,
          key.userId,
        ]),
      ),
    );
  return exitCodes.ok;
}
