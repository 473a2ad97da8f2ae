import { ProcessSchema, SandboxService, SignalTarget } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Whom a signal can be for. */
export type TargetName = keyof typeof targets;
export const targets = {
  process: SignalTarget.PROCESS,
  group: SignalTarget.GROUP,
  tree: SignalTarget.TREE,
} as const;

/** Options of `sandgate kill`. */
export interface KillOptions {
  readonly signal: string;
  readonly target: TargetName;
}

/** `sandgate kill`: sends a signal to a process in a sandbox. */
export async function kill(
  context: CommandContext,
  sandbox: string,
  processId: string,
  options: KillOptions,
): Promise<number> {
  const { output, interruptions } = context;
  const name = options.signal.toUpperCase();
  const signal = name.startsWith("SIG") ? name : `SIG${name}`;
  if (!/^SIG[A-Z0-9+]{1,12}$/.test(signal)) throw usageFailure("there is no such signal", "TERM, INT, KILL, HUP, …");
  const connection = new SuiteConnection(context.clientFile());
  const { process } = await connection
    .client("sandbox", SandboxService)
    .signalProcess({ sandbox, processId, signal, target: targets[options.target] }, { signal: interruptions.signal });
  connection.close();
  if (process === undefined) throw new Error("the service answered without a process");
  output.document(messageJson(ProcessSchema, process));
  if (process.end !== undefined) output.note("it had ended already");
  return exitCodes.ok;
}
