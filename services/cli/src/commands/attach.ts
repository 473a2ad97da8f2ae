import { SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { localStreams } from "../session/local-streams.ts";
import { followProcess } from "../session/process-session.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { tellContact, tellOutcome } from "./exec.ts";

/** Options of `sandgate attach`. */
export interface AttachOptions {
  readonly offset: number;
  readonly stdin: boolean;
}

/** `sandgate attach`: the output of a process from an offset on, and its exit code. Leaving it does not end it. */
export async function attach(
  context: CommandContext,
  sandbox: string,
  processId: string,
  options: AttachOptions,
): Promise<number> {
  const { output, interruptions } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const { process } = await client.waitProcess({ sandbox, processId }, { signal: interruptions.signal });
  const streams = localStreams(output, {
    stdin: options.stdin && process?.end === undefined,
    ...(process?.terminal === true ? {} : { tty: false }),
  });
  if (streams.terminal !== undefined) output.note(output.noteColors.dim("Ctrl-P Ctrl-Q leaves it"));
  const outcome = await followProcess({
    client,
    sandbox,
    processId,
    offset: options.offset,
    ...streams,
    isShared: true,
    interruptions,
    onContact: (isThere) => tellContact(context, isThere),
    onGap: (bytes) => output.note(`sandgate: ${bytes} bytes of older output were dropped`),
  });
  connection.close();
  if (outcome.detached !== true) tellOutcome(context, outcome);
  return outcome.exitCode;
}
