import { Phase, type Sandbox } from "@sandgate/api/sandbox";

/** What can be waited for. */
export const awaitedPhases = ["READY", "COMPLETED", "FAILED", "STOPPED", "DELETED"] as const;

/** One of them. */
export type AwaitedPhase = (typeof awaitedPhases)[number];

/** Whether a sandbox is in the phase that is waited for, may still come to it, or will not unless somebody does something. */
export function judgeWait(
  { phase, desiredPhase, spec }: Pick<Sandbox, "phase" | "desiredPhase" | "spec">,
  awaited: AwaitedPhase,
): "reached" | "possible" | "impossible" {
  if (phase === Phase[awaited]) return "reached";
  if (awaited === "DELETED") return "possible";
  if (phase === Phase.DELETED) return "impossible";
  const isOver = phase === Phase.COMPLETED || phase === Phase.FAILED;
  switch (awaited) {
    case "READY":
      return desiredPhase === Phase.READY && !isOver ? "possible" : "impossible";
    case "COMPLETED":
    case "FAILED": {
      const mayEnd = awaited === "FAILED" || (spec?.command.length ?? 0) > 0;
      return desiredPhase === Phase.READY && !isOver && mayEnd ? "possible" : "impossible";
    }
    case "STOPPED":
      return isOver || phase === Phase.DELETING ? "impossible" : "possible";
  }
}
