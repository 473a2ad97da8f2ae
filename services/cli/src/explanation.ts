import { timestampMs } from "@bufbuild/protobuf/wkt";
import { EndCause, Phase, type Sandbox, type WatchSandboxResponse } from "@sandgate/api/sandbox";

/** What is known of why a sandbox is as it is. */
export interface Explanation {
  /** One sentence. */
  readonly summary: string;
  /** What READY waits for, and what is wrong where it waits for long. */
  readonly waitingFor: readonly { readonly name: string; readonly meaning: string }[];
  /** The phases of the present incarnation, in order. */
  readonly stages: readonly Stage[];
  /** The last one of this sandbox, in whatever incarnation. */
  readonly lastFailure: { readonly incarnation: bigint; readonly stage: string; readonly fault: string } | undefined;
  /** What to type next; undefined where nothing is to be done. */
  readonly nextCommand: string | undefined;
}

/** One phase that a sandbox went through. */
export interface Stage {
  readonly phase: Phase;
  readonly startMs: number;
  /** Undefined for the present one. */
  readonly durationMs: number | undefined;
  /** What the last of it still waited for. */
  readonly waitingFor: readonly string[];
}

const meanings: Readonly<Record<string, { readonly meaning: string; readonly nextCommand: string }>> = {
  driver: { meaning: "the machine has not started it, or it has ended", nextCommand: "sandgate doctor" },
  supervisor: { meaning: "its supervisor is not connected", nextCommand: "sandgate doctor" },
  policy: { meaning: "no egress proxy has said that it enforces its policy", nextCommand: "sandgate status" },
  confinement: { meaning: "its start-up probe has not reported that it is confined", nextCommand: "sandgate doctor" },
};

/** Explains a sandbox from its changes, oldest first, of which the last is how it is now. */
export function explain(changes: readonly WatchSandboxResponse[]): Explanation | undefined {
  const lives = changes.flatMap(({ sandbox, changeTime }) =>
    sandbox === undefined ? [] : [{ sandbox, timeMs: changeTime === undefined ? 0 : timestampMs(changeTime) }],
  );
  const now = lives.at(-1)?.sandbox;
  if (now === undefined) return undefined;
  const failed = lives.findLast(({ sandbox }) => sandbox.phase === Phase.FAILED)?.sandbox;
  const waitingFor = now.waitingFor.map((name) => ({ name, meaning: meanings[name]?.meaning ?? "" }));
  return {
    ...summarize(now),
    waitingFor,
    stages: stagesOf(lives.filter(({ sandbox }) => sandbox.incarnation === now.incarnation)),
    lastFailure:
      failed?.failure === undefined
        ? undefined
        : { incarnation: failed.incarnation, stage: failed.failure.stage, fault: failed.failure.fault },
  };
}

function stagesOf(life: readonly { readonly sandbox: Sandbox; readonly timeMs: number }[]): readonly Stage[] {
  const stages: { phase: Phase; startMs: number; waitingFor: readonly string[] }[] = [];
  for (const { sandbox, timeMs } of life) {
    const present = stages.at(-1);
    if (present?.phase === sandbox.phase) present.waitingFor = sandbox.waitingFor;
    else stages.push({ phase: sandbox.phase, startMs: timeMs, waitingFor: sandbox.waitingFor });
  }
  return stages.map((stage, index) => {
    const next = stages[index + 1];
    return { ...stage, durationMs: next === undefined ? undefined : next.startMs - stage.startMs };
  });
}

function summarize(sandbox: Sandbox): Pick<Explanation, "summary" | "nextCommand"> {
  const { name, phase, desiredPhase, failure } = sandbox;
  const [first] = sandbox.waitingFor;
  switch (phase) {
    case Phase.READY:
      return { summary: "it is ready", nextCommand: undefined };
    case Phase.COMPLETED:
      return { summary: "its main process has ended with 0", nextCommand: `sandgate logs ${name}` };
    case Phase.FAILED:
      return {
        summary: `it failed at ${failure?.stage ?? "an unknown stage"}: ${failure?.fault ?? "no diagnosis"}`,
        nextCommand: failure?.nextCommand === "" ? undefined : failure?.nextCommand,
      };
    case Phase.STOPPED:
      if (desiredPhase === Phase.STOPPED)
        return { summary: `it is stopped${causeOf(sandbox)}`, nextCommand: `sandgate start ${name}` };
      break;
    case Phase.DELETED:
      return { summary: `it is removed${causeOf(sandbox)}`, nextCommand: undefined };
    case Phase.STARTING:
      if (first !== undefined)
        return {
          summary: `it is being started: ${meanings[first]?.meaning ?? `it waits for ${first}`}`,
          nextCommand: meanings[first]?.nextCommand,
        };
      break;
    default:
  }
  const goals: Readonly<Partial<Record<Phase, string>>> = {
    [Phase.READY]: "is on its way to READY",
    [Phase.STOPPED]: "is being stopped",
    [Phase.DELETED]: "is being removed",
  };
  return { summary: `it ${goals[desiredPhase] ?? "is changing"}${causeOf(sandbox)}`, nextCommand: "sandgate status" };
}

function causeOf({ endCause }: Sandbox): string {
  switch (endCause) {
    case EndCause.REQUESTED:
      return ", because somebody asked for it";
    case EndCause.IDLE:
      return ", because nothing had happened in it for its idle timeout";
    case EndCause.EXPIRED:
      return ", because its time to live was over";
    default:
      return "";
  }
}
