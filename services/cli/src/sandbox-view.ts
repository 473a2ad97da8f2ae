import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Phase, type Sandbox } from "@sandgate/api/sandbox";
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
export function printSandbox(output: Output, sandbox: Sandbox): void {
  const field = (name: string, value: string) => output.line(`${output.colors.dim(name.padEnd(14))}${value}`);
  output.line(`${output.colors.bold(escapeLine(sandbox.name))}  ${coloredPhase(output, sandbox.phase)}`);
  field("id", sandbox.id);
  field("identity", sandbox.spiffeId);
  field("incarnation", String(sandbox.incarnation));
  const labels = Object.entries(sandbox.labels).map(([key, value]) => escapeLine(`${key}=${value}`));
  if (labels.length > 0) field("labels", labels.sort().join(", "));
  if (sandbox.waitingFor.length > 0) field("waiting for", sandbox.waitingFor.join(", "));
  const command = sandbox.spec?.command ?? [];
  if (command.length > 0) field("command", escapeLine(command.join(" ")));
  const startTime = sandbox.startTime ?? sandbox.createTime;
  if (startTime !== undefined && sandbox.readyTime !== undefined)
    field("ready in", formatDuration(timestampMs(sandbox.readyTime) - timestampMs(startTime)));
  if (sandbox.expireTime !== undefined) field("expires", new Date(timestampMs(sandbox.expireTime)).toISOString());
  if (sandbox.mainExit !== undefined) field("main exit", describeExit(sandbox.mainExit));
  if (sandbox.failure !== undefined) {
    field("failure", `${escapeLine(sandbox.failure.fault)} (${escapeLine(sandbox.failure.stage)})`);
    if (sandbox.failure.nextCommand !== "") field("next", escapeLine(sandbox.failure.nextCommand));
  }
  if (sandbox.isolationGaps.length > 0) field("not enforced", sandbox.isolationGaps.map(escapeLine).join(", "));
}

/** How a process ended, in words. */
function describeExit(exit: { readonly code: number; readonly signal: string }): string {
  return exit.signal === "" ? `exited with ${exit.code}` : `ended by ${escapeLine(exit.signal)}`;
}

/** How long ago a moment was, for a table. */
export function ageOf(time: Parameters<typeof timestampMs>[0] | undefined, now: number): string {
  return time === undefined ? "" : formatDuration(Math.max(0, now - timestampMs(time)));
}
