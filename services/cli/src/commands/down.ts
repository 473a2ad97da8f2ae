import { createInterface } from "node:readline/promises";
import { type Sandbox, SandboxService } from "@sandgate/api/sandbox";
import { findClientFile } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { findSuiteProcesses, forgetRunningSuite, stopProcesses } from "../suite/stop-suite.ts";
import { withSuiteLock } from "../suite/suite-lock.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { removeSandbox } from "./rm.ts";

/** Options of `sandgate down`. */
export interface DownOptions {
  readonly keep?: boolean;
  readonly yes?: boolean;
  readonly timeout: number;
}

/** `sandgate down`: removes the sandboxes, unless they are to be kept, and ends every process of the suite. */
export async function down(context: CommandContext, options: DownOptions): Promise<number> {
  const { output } = context;
  const directories = context.directories();
  if (findSuiteProcesses(directories).length === 0) {
    forgetRunningSuite(directories);
    output.document({ stopped: [], removed: [] });
    output.line("the suite is not running");
    return exitCodes.ok;
  }
  return withSuiteLock(directories.lockFile, async () => {
    const removed = options.keep === true ? [] : await removeSandboxes(context, options);
    const stopped = await stopProcesses(directories, findSuiteProcesses(directories), {
      timeoutMs: options.timeout,
      onStopped: ({ name, how }) => output.progress(`${name} ${how}`),
    });
    forgetRunningSuite(directories);
    output.document({
      stopped: stopped.map(({ name, pid, how }) => ({ name, pid, how })),
      removed,
    });
    for (const { name, how } of stopped) if (how === "killed") output.note(`sandgate: ${name} had to be killed`);
    const count =
      removed.length === 0 ? "" : `, ${removed.length} ${removed.length === 1 ? "sandbox" : "sandboxes"} removed`;
    output.line(`the suite has ended${count}`);
    return exitCodes.ok;
  });
}

/** Removes every sandbox, after asking on a terminal. A service that does not answer keeps nobody from ending the suite. */
async function removeSandboxes(context: CommandContext, options: DownOptions): Promise<readonly string[]> {
  const { output } = context;
  const file = findClientFile(context.directories().clientFile);
  if (file === undefined) return [];
  const connection = new SuiteConnection(file);
  const client = connection.client("sandbox", SandboxService);
  const sandboxes: Sandbox[] = [];
  try {
    let pageToken = "";
    do {
      const page = await client.listSandboxes({ pageSize: 1000, pageToken }, { timeoutMs: 3_000 });
      sandboxes.push(...page.sandboxes);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  } catch {
    output.note(
      "sandgate: the Sandbox service does not answer; sandboxes that still run stay until the next `sandgate up`",
    );
    connection.close();
    return [];
  }
  if (sandboxes.length > 0 && options.yes !== true) await confirm(context, sandboxes);
  const outcomes = await Promise.allSettled(
    sandboxes.map((sandbox) =>
      removeSandbox({
        client,
        sandbox: sandbox.id,
        wait: true,
        timeoutMs: options.timeout,
        signal: context.interruptions.signal,
      }),
    ),
  );
  connection.close();
  const remaining = outcomes.filter(({ status }) => status === "rejected").length;
  if (remaining > 0)
    output.note(`sandgate: ${remaining} sandboxes could not be removed; the next \`sandgate up\` goes on with it`);
  return sandboxes.filter((_, index) => outcomes[index]?.status === "fulfilled").map(({ id }) => id);
}

async function confirm(context: CommandContext, sandboxes: readonly Sandbox[]): Promise<void> {
  if (context.output.json || process.stdin.isTTY !== true) return;
  const names = sandboxes
    .slice(0, 5)
    .map(({ name }) => escapeLine(name))
    .join(", ");
  const more = sandboxes.length > 5 ? ` and ${sandboxes.length - 5} more` : "";
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question(`remove ${names}${more}? [y/N] `, { signal: context.interruptions.signal });
  prompt.close();
  if (!/^y(es)?$/i.test(answer.trim()))
    throw new CommandFailure({
      message: "nothing was ended",
      mend: "`sandgate down --keep` ends the suite and leaves the sandboxes for the next `up`",
      exitCode: exitCodes.failed,
    });
}
