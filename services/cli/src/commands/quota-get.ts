import { GetQuotaResponseSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatSize } from "../quantities.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** `sandgate quota get`: what the caller's organization may have, and has. */
export async function getQuota(context: CommandContext): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("sandbox", SandboxService)
    .getQuota({}, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(GetQuotaResponseSchema, response));
  output.line(
    formatTable(
      ["quota", "used", "limit"],
      response.quotas.map(({ name, used, limit }) => {
        const amount = (value: bigint) => (name.endsWith("_bytes") ? formatSize(Number(value)) : String(value));
        const isUsedUp = limit !== undefined && used >= limit;
        return [
          escapeLine(name),
          isUsedUp ? output.colors.yellow(amount(used)) : amount(used),
          limit === undefined ? "none" : amount(limit),
        ];
      }),
    ),
  );
  return exitCodes.ok;
}
