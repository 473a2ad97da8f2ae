import { SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeControl } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { writeWithBackpressure } from "../text-streams.ts";

/** Options of `sandgate logs`. */
export interface LogsOptions {
  readonly follow?: boolean;
  readonly offset: number;
  readonly raw?: boolean;
}

/** `sandgate logs`: the main process's output. On a terminal control characters are shown as escapes, unless `--raw`. */
export async function printLogs(context: CommandContext, sandbox: string, options: LogsOptions): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const decoder = new TextDecoder();
  const escapes = process.stdout.isTTY === true && options.raw !== true;
  const stream = connection
    .client("sandbox", SandboxService)
    .readSandboxLogs(
      { sandbox, offset: BigInt(options.offset), follow: options.follow === true },
      { signal: context.interruptions.signal },
    );
  for await (const { offset, data } of stream) {
    if (context.output.json) {
      context.output.event({ offset: String(offset), data: Buffer.from(data).toString("base64") });
      continue;
    }
    const open = await writeWithBackpressure(
      process.stdout,
      escapes ? escapeControl(decoder.decode(data, { stream: true })) : data,
    );
    if (!open) break;
  }
  connection.close();
  return exitCodes.ok;
}
