import { Phase, type Sandbox, SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { phaseName } from "../sandbox-view.ts";
import { watchThroughLosses } from "../session/resuming-watch.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { type AwaitedPhase, judgeWait } from "../wait-verdict.ts";

/** Options of `sandgate wait`. */
export interface WaitOptions {
  readonly for: AwaitedPhase;
  readonly timeout: number;
}

/**
 * `sandgate wait`: waits until a sandbox is, or was, in a phase. Exits with 1 when it will not be, unless somebody does something, and with 6
 * when it was not in time.
 */
export async function waitForPhase(context: CommandContext, name: string, options: WaitOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const overdue = AbortSignal.timeout(options.timeout);
  const signal = AbortSignal.any([context.interruptions.signal, overdue]);
  let last: Sandbox | undefined;
  try {
    const watch = watchThroughLosses(connection.client("sandbox", SandboxService), name, {
      signal,
      onLoss: () => output.progress("the suite does not answer; trying again"),
    });
    for await (const { sandbox, past } of watch) {
      if (sandbox === undefined) continue;
      last = sandbox;
      const verdict = judgeWait(sandbox, options.for);
      if (verdict === "reached") return report(context, sandbox);
      // what is past may be mended by what follows
      if (verdict === "impossible" && !past) throw inVain(sandbox, options.for);
      output.progress(`${sandbox.name}: ${phaseName(sandbox.phase)}`);
    }
    throw inVain(last, options.for);
  } catch (error) {
    const isGone = error instanceof ServiceError && error.reason === "SANDBOX_NOT_FOUND" && last !== undefined;
    if (isGone && options.for === "DELETED") return report(context, last);
    if (error instanceof CommandFailure || context.interruptions.signal.aborted || !overdue.aborted) throw error;
    throw new CommandFailure({
      message: `the sandbox was not ${options.for} within ${options.timeout} ms`,
      mend: `\`sandgate explain ${escapeLine(name)}\` says why; --timeout allows more time`,
      metadata: last === undefined ? {} : { sandbox_id: last.id, phase: phaseName(last.phase) },
      exitCode: exitCodes.notReady,
    });
  } finally {
    connection.close();
  }
}

function report({ output }: CommandContext, sandbox: Sandbox | undefined): number {
  output.progress("");
  if (sandbox !== undefined) output.document(messageJson(SandboxSchema, sandbox));
  output.line(`${escapeLine(sandbox?.name ?? "")} ${phaseName(sandbox?.phase ?? Phase.UNSPECIFIED)}`);
  return exitCodes.ok;
}

function inVain(sandbox: Sandbox | undefined, awaited: AwaitedPhase): CommandFailure {
  const phase = phaseName(sandbox?.phase ?? Phase.UNSPECIFIED);
  return new CommandFailure({
    message: `the sandbox is ${phase} and will not be ${awaited}`,
    ...(sandbox !== undefined && { mend: `\`sandgate explain ${escapeLine(sandbox.name)}\` says why` }),
    metadata: { sandbox_id: sandbox?.id ?? "", phase },
    exitCode: exitCodes.failed,
  });
}
