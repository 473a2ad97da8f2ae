import { ExitReason, ProcessExitSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { messageJson } from "../message-json.ts";
import { parseEnvironmentPairs } from "../session/environment-pairs.ts";
import { runExecSession } from "../session/exec-session.ts";
import { localStreams } from "../session/local-streams.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate exec`. */
export interface ExecOptions {
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly tty?: boolean;
  readonly stdin: boolean;
}

/** `sandgate exec`: runs a command in a sandbox that is READY, and exits as it did. */
export async function exec(
  context: CommandContext,
  sandbox: string,
  words: readonly string[],
  options: ExecOptions,
): Promise<number> {
  const environment = parseEnvironmentPairs(options.env);
  const connection = new SuiteConnection(context.clientFile());
  const outcome = await runExecSession({
    client: connection.client("sandbox", SandboxService),
    sandbox,
    start: {
      command: words[0] === "--" ? words.slice(1) : [...words],
      environment,
      workingDirectory: options.cwd ?? "",
    },
    ...localStreams(context.output, options),
    interruptions: context.interruptions,
  });
  connection.close();
  if (outcome.startFault !== undefined)
    context.output.note(`sandgate: the command could not be started: ${escapeLine(outcome.startFault)}`);
  if (outcome.exit?.reason === ExitReason.OUT_OF_MEMORY)
    context.output.note("sandgate: the command was ended because the sandbox's memory was used up");
  context.output.event({
    event: "exit",
    exitCode: outcome.exitCode,
    ...(outcome.exit === undefined ? {} : { exit: messageJson(ProcessExitSchema, outcome.exit) }),
    ...(outcome.startFault === undefined ? {} : { startFault: outcome.startFault }),
  });
  return outcome.exitCode;
}
