import { Phase, type Sandbox, type SandboxService } from "@sandgate/api/sandbox";
import type { Client } from "@sandgate/rpc";
import { CommandFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { phaseName } from "../sandbox-view.ts";
import { watchThroughLosses } from "./resuming-watch.ts";

/**
 * Waits until a sandbox is READY, or COMPLETED. Refuses with exit code 1 when it failed, 3 when it was removed, and 6 when it was stopped or
 * the time is over. Calls `onPhase` at every phase that is seen.
 */
export async function waitUntilReady(options: {
  client: Client<typeof SandboxService>;
  sandbox: string;
  output: Output;
  signal: AbortSignal;
  timeoutMs: number;
  onPhase?: (phase: Phase) => void;
}): Promise<Sandbox> {
  const { client, output } = options;
  let last: Sandbox | undefined;
  let lastPhase: Phase | undefined;
  const overdue = AbortSignal.timeout(options.timeoutMs);
  try {
    const watch = watchThroughLosses(client, options.sandbox, {
      signal: AbortSignal.any([options.signal, overdue]),
      onLoss: () => output.progress("the suite does not answer; trying again"),
    });
    for await (const { sandbox, past } of watch) {
      if (sandbox === undefined) continue;
      last = sandbox;
      if (sandbox.phase !== lastPhase) options.onPhase?.(sandbox.phase);
      lastPhase = sandbox.phase;
      switch (sandbox.phase) {
        case Phase.READY:
        case Phase.COMPLETED:
          output.progress("");
          return sandbox;
        case Phase.FAILED:
          if (!past) throw sandboxFailure(sandbox); // else somebody has started it again
          break;
        case Phase.STOPPING:
        case Phase.STOPPED:
        case Phase.DELETING:
        case Phase.DELETED:
          // one that was started again ends in order before it begins anew
          if (sandbox.desiredPhase !== Phase.READY) throw neverReady(sandbox);
          break;
        default:
          output.progress(`${sandbox.name}: ${phaseName(sandbox.phase)}${waitingFor(sandbox)}`);
      }
    }
  } catch (error) {
    if (error instanceof CommandFailure || options.signal.aborted || !overdue.aborted) throw error;
    throw notInTime(last, options.timeoutMs);
  }
  throw notInTime(last, options.timeoutMs);
}

/** What to tell about a sandbox that is FAILED. */
function sandboxFailure(sandbox: Sandbox): CommandFailure {
  const { failure } = sandbox;
  return new CommandFailure({
    message: `the sandbox failed: ${escapeLine(failure?.fault ?? "no diagnosis")}`,
    mend:
      failure?.nextCommand === undefined || failure.nextCommand === ""
        ? "`sandgate doctor` says what this machine can do"
        : failure.nextCommand,
    reason: "SANDBOX_FAILED",
    metadata: { sandbox_id: sandbox.id, stage: failure?.stage ?? "", retriable: String(failure?.retriable ?? false) },
    exitCode: exitCodes.failed,
  });
}

function neverReady(sandbox: Sandbox): CommandFailure {
  const isStopped = sandbox.desiredPhase === Phase.STOPPED;
  return new CommandFailure({
    message: `the sandbox was ${isStopped ? "stopped" : "removed"} before it was ready`,
    ...(isStopped && { mend: `sandgate start ${sandbox.id}` }),
    metadata: { sandbox_id: sandbox.id },
    exitCode: isStopped ? exitCodes.notReady : exitCodes.notFound,
  });
}

function notInTime(sandbox: Sandbox | undefined, timeoutMs: number): CommandFailure {
  return new CommandFailure({
    message: `the sandbox was not ready within ${timeoutMs} ms`,
    mend: "`sandgate status` shows what is not ready; --timeout allows more time",
    reason: "SANDBOX_NOT_READY",
    metadata:
      sandbox === undefined
        ? {}
        : { sandbox_id: sandbox.id, phase: phaseName(sandbox.phase), waiting_for: sandbox.waitingFor.join(", ") },
    exitCode: exitCodes.notReady,
  });
}

function waitingFor(sandbox: Sandbox): string {
  return sandbox.waitingFor.length === 0 ? "" : `, waiting for ${sandbox.waitingFor.join(", ")}`;
}
