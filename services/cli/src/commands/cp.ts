import { SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { parseCopy } from "../files/copy-place.ts";
import { copyIn, copyOut } from "../files/file-transfer.ts";
import { formatDuration, formatSize } from "../quantities.ts";
import { SuiteConnection } from "../suite-connection.ts";

const progressIntervalMs = 100;

/** `sandgate cp`: copies a file or a directory into a sandbox, or out of it. */
export async function copy(context: CommandContext, source: string, destination: string): Promise<number> {
  const { output, interruptions } = context;
  const asked = parseCopy(source, destination);
  const connection = new SuiteConnection(context.clientFile());
  const startedAt = performance.now();
  let shownAt = startedAt;
  const options = {
    client: connection.client("sandbox", SandboxService),
    sandbox: asked.direction === "in" ? asked.to.sandbox : asked.from.sandbox,
    signal: interruptions.signal,
    onProgress: (bytes: number) => {
      const now = performance.now();
      if (now - shownAt < progressIntervalMs) return;
      shownAt = now;
      const rate = bytes / ((now - startedAt) / 1000);
      output.progress(`${formatSize(bytes)}, ${formatSize(rate)}/s`);
    },
  };
  const transfer = await (asked.direction === "in"
    ? copyIn(options, asked.from.path, asked.to.path)
    : copyOut(options, asked.from.path, asked.to.path)
  ).finally(() => output.progress(""));
  connection.close();
  const { path, bytes, summary } = transfer;
  output.document({ direction: asked.direction, path, bytes, ...summary });
  const what = summary === undefined ? "" : `, ${summary.entries} entries`;
  output.note(
    output.noteColors.dim(
      `${escapeLine(path)}: ${formatSize(bytes)}${what} in ${formatDuration(performance.now() - startedAt)}`,
    ),
  );
  if (summary !== undefined && summary.skipped > 0)
    output.note(
      `sandgate: ${summary.skipped} left out: devices, sockets, names that are not UTF-8, or links that lead out of it`,
    );
  return exitCodes.ok;
}
