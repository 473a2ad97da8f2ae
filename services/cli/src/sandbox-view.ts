import { durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { ExitReason, IdleAction, Phase, type ProcessExit, type Sandbox } from "@sandgate/api/sandbox";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";
import { formatDuration } from "./quantities.ts";

/** READY, STARTING, …; a phase of a later version as its number. */
export function phaseName(phase: Phase): string {
  return Phase[phase] ?? String(phase);
}

/** The phase in its colour. */
export function coloredPhase(output: Output, phase: Phase): string {
  const name = phaseName(phase);
  switch (phase) {
    case Phase.READY:
    case Phase.COMPLETED:
      return output.colors.green(name);
    case Phase.FAILED:
      return output.colors.red(name);
    case Phase.STOPPING:
    case Phase.STOPPED:
    case Phase.DELETING:
    case Phase.DELETED:
      return output.colors.dim(name);
    default:
      return output.colors.yellow(name);
  }
}

/** Prints a sandbox for people. */
export function printSandbox(output: Output, sandbox: Sandbox, now = Date.now()): void {
  const field = (name: string, value: string) => output.line(`${output.colors.dim(name.padEnd(14))}${value}`);
  output.line(`${output.colors.bold(escapeLine(sandbox.name))}  ${coloredPhase(output, sandbox.phase)}`);
  field("id", sandbox.id);
  field("identity", sandbox.spiffeId);
  field("incarnation", String(sandbox.incarnation));
  const labels = Object.entries(sandbox.labels).map(([key, value]) => escapeLine(`${key}=${value}`));
  if (labels.length > 0) field("labels", labels.sort().join(", "));
  if (sandbox.waitingFor.length > 0) field("waiting for", sandbox.waitingFor.join(", "));
  const command = sandbox.spec?.command ?? [];
  if (sandbox.spec !== undefined && sandbox.spec.image !== "") field("image", escapeLine(sandbox.spec.image));
  if (command.length > 0) field("command", escapeLine(command.join(" ")));
  const startTime = sandbox.startTime ?? sandbox.createTime;
  if (startTime !== undefined && sandbox.readyTime !== undefined)
    field("ready in", formatDuration(timestampMs(sandbox.readyTime) - timestampMs(startTime)));
  if (sandbox.expireTime !== undefined) field("expires", momentAhead(sandbox.expireTime, now));
  if (sandbox.spec?.idleTimeout !== undefined) {
    const { idleTimeout, idleAction } = sandbox.spec;
    const end = idleAction === IdleAction.DELETE ? "deleted" : "stopped";
    const due = sandbox.idleTime === undefined ? "" : `, ${momentAhead(sandbox.idleTime, now)}`;
    field("when idle", `${end} after ${formatDuration(durationMs(idleTimeout))}${due}`);
  }
  if (sandbox.mainExit !== undefined) field("main exit", describeExit(sandbox.mainExit));
  if (sandbox.failure !== undefined) {
    field("failure", `${escapeLine(sandbox.failure.fault)} (${escapeLine(sandbox.failure.stage)})`);
    if (sandbox.failure.nextCommand !== "") field("next", escapeLine(sandbox.failure.nextCommand));
  }
  if (sandbox.isolationGaps.length > 0) field("not enforced", sandbox.isolationGaps.map(escapeLine).join(", "));
}

/** A moment, and how far away it is. */
function momentAhead(time: Timestamp, now: number): string {
  const ms = timestampMs(time);
  return `${new Date(ms).toISOString()} (${ms > now ? `in ${formatDuration(ms - now)}` : "now"})`;
}

/** How a process ended, in words. */
export function describeExit(exit: Pick<ProcessExit, "reason" | "code" | "signal" | "limit">): string {
  switch (exit.reason) {
    case ExitReason.CANCELLED:
      return "cancelled";
    case ExitReason.SUPERVISOR_LOST:
      return "supervisor lost";
    case ExitReason.OUT_OF_MEMORY:
      return "out of memory";
    case ExitReason.TIMED_OUT:
      return "timed out";
    case ExitReason.LIMIT:
      return `limit of ${escapeLine(exit.limit)}`;
    default:
      return exit.signal === "" ? `exited with ${exit.code}` : `ended by ${escapeLine(exit.signal)}`;
  }
}

/** How long ago a moment was, for a table. */
export function ageOf(time: Parameters<typeof timestampMs>[0] | undefined, now: number): string {
  return time === undefined ? "" : formatDuration(Math.max(0, now - timestampMs(time)));
}
