/** Where a sandbox is in its life, as it was last observed. */
export type Phase =
  | "PENDING"
  | "PROVISIONING"
  | "STARTING"
  | "READY"
  | "COMPLETED"
  | "FAILED"
  | "STOPPING"
  | "STOPPED"
  | "DELETING"
  | "DELETED";

/** What the reconciler works towards. */
export type DesiredPhase = "READY" | "STOPPED" | "DELETED";

const followers: Readonly<Record<Phase, readonly Phase[]>> = {
  PENDING: ["PROVISIONING", "FAILED", "STOPPING"],
  PROVISIONING: ["STARTING", "FAILED", "STOPPING"],
  STARTING: ["READY", "COMPLETED", "FAILED", "STOPPING"],
  READY: ["STARTING", "COMPLETED", "FAILED", "STOPPING"],
  COMPLETED: ["STOPPING"],
  FAILED: ["STOPPING"],
  STOPPING: ["STOPPED"],
  STOPPED: ["PENDING", "STOPPING", "DELETING"],
  DELETING: ["DELETED"],
  DELETED: [],
};

/** All phases, in the order of a life. */
export const phases = Object.keys(followers) as readonly Phase[]; // the record above has exactly the phases as keys

/** Whether a sandbox may go from one phase to another. */
export function canFollow(from: Phase, to: Phase): boolean {
  return followers[from].includes(to);
}

/** Whether no process of the sandbox may run any more. */
export function isOver(phase: Phase): boolean {
  return (
    phase === "COMPLETED" || phase === "FAILED" || phase === "STOPPED" || phase === "DELETING" || phase === "DELETED"
  );
}
