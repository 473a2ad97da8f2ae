import { randomUUID } from "node:crypto";
import { ExitReason, ProcessExitSchema, ProcessSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { parseEnvironmentPairs } from "../session/environment-pairs.ts";
import { localStreams } from "../session/local-streams.ts";
import { type ExecOutcome, runProcessSession, toDuration } from "../session/process-session.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate exec`. */
export interface ExecOptions {
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly tty?: boolean;
  /** What happens anyhow: taken so that `-it` can be typed. */
  readonly interactive?: boolean;
  readonly stdin: boolean;
  readonly detach?: boolean;
  readonly timeout?: number;
}

/** `sandgate exec`: runs a command in a sandbox that is READY, and exits as it did; with --detach it is left to itself. */
export async function exec(
  context: CommandContext,
  sandbox: string,
  words: readonly string[],
  options: ExecOptions,
): Promise<number> {
  const start = {
    command: words[0] === "--" ? words.slice(1) : [...words],
    environment: parseEnvironmentPairs(options.env),
    workingDirectory: options.cwd ?? "",
  };
  if (options.detach === true) return startDetached(context, sandbox, start, options);
  const connection = new SuiteConnection(context.clientFile());
  const outcome = await runProcessSession({
    client: connection.client("sandbox", SandboxService),
    sandbox,
    start: { ...start, ...(options.timeout !== undefined && { timeoutMs: options.timeout }) },
    ...localStreams(context.output, options),
    interruptions: context.interruptions,
    onContact: (isThere) => tellContact(context, isThere),
  });
  connection.close();
  tellOutcome(context, outcome);
  return outcome.exitCode;
}

/** Says, on a terminal, why nothing comes. */
export function tellContact({ output }: CommandContext, isThere: boolean): void {
  output.progress(isThere ? "" : "contact lost, trying again");
}

/** Says how a process ended, where its exit code alone does not. */
export function tellOutcome({ output }: CommandContext, outcome: ExecOutcome): void {
  if (outcome.startFault !== undefined)
    output.note(`sandgate: the command could not be started: ${escapeLine(outcome.startFault)}`);
  if (outcome.exit?.reason === ExitReason.OUT_OF_MEMORY)
    output.note("sandgate: the command was ended because the sandbox's memory was used up");
  output.event({
    event: "exit",
    exitCode: outcome.exitCode,
    ...(outcome.exit === undefined ? {} : { exit: messageJson(ProcessExitSchema, outcome.exit) }),
    ...(outcome.startFault === undefined ? {} : { startFault: outcome.startFault }),
  });
}

async function startDetached(
  context: CommandContext,
  sandbox: string,
  start: {
    readonly command: string[];
    readonly environment: Record<string, string>;
    readonly workingDirectory: string;
  },
  options: ExecOptions,
): Promise<number> {
  const { output, interruptions } = context;
  const connection = new SuiteConnection(context.clientFile());
  if (options.tty === true && process.stdout.isTTY !== true)
    throw usageFailure("there is no terminal whose size the command could have", "leave out --tty");
  const terminal = { rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 };
  const { process: started } = await connection.client("sandbox", SandboxService).startProcess(
    {
      sandbox,
      requestId: randomUUID(),
      start: { ...start, ...(options.tty === true && { terminal }) },
      limits: options.timeout === undefined ? {} : { timeout: toDuration(options.timeout) },
    },
    { signal: interruptions.signal },
  );
  connection.close();
  if (started === undefined) throw new Error("the service answered without a process");
  output.document(messageJson(ProcessSchema, started));
  output.line(started.processId);
  output.note(output.noteColors.dim(`its output: sandgate attach ${sandbox} ${started.processId}`));
  return exitCodes.ok;
}
