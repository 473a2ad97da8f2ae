import type { DesiredPhase, Phase } from "./phase.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

/** What becomes of a request to stop, start or delete a sandbox. */
export type WishDecision =
  | { readonly kind: "unchanged" }
  | { readonly kind: "change"; readonly desiredPhase: DesiredPhase; readonly phase: Phase }
  /** It is being removed for good. */
  | { readonly kind: "deleting" }
  /** Its identity was revoked by hand, which nobody but its removal undoes. */
  | { readonly kind: "revoked" };

type Wished = Pick<SandboxRecord, "phase" | "desiredPhase" | "failure">;

/** Decides on a request to stop a sandbox. From then on its incarnation is over, whatever else is asked for. */
export function decideStop({ phase, desiredPhase }: Wished): WishDecision {
  if (desiredPhase === "DELETED") return { kind: "deleting" };
  if (phase === "COMPLETED" || phase === "FAILED" || desiredPhase === "STOPPED") return { kind: "unchanged" };
  return { kind: "change", desiredPhase: "STOPPED", phase: phase === "STOPPED" ? "STOPPED" : "STOPPING" };
}

/** Decides on a request to start a sandbox. An incarnation that is over is ended in order before the next one begins. */
export function decideStart({ phase, desiredPhase, failure }: Wished): WishDecision {
  if (desiredPhase === "DELETED") return { kind: "deleting" };
  if (phase === "FAILED" && failure?.stage === "identity") return { kind: "revoked" };
  if (phase === "COMPLETED" || phase === "FAILED") return { kind: "change", desiredPhase: "READY", phase: "STOPPING" };
  return desiredPhase === "READY" ? { kind: "unchanged" } : { kind: "change", desiredPhase: "READY", phase };
}

/** Decides on a request to delete a sandbox. One that is STOPPED is stopped once more: for good, with its entry in the register. */
export function decideDeletion({ phase, desiredPhase }: Wished): WishDecision {
  if (desiredPhase === "DELETED") return { kind: "unchanged" };
  return { kind: "change", desiredPhase: "DELETED", phase: phase === "STOPPED" ? "STOPPING" : phase };
}
