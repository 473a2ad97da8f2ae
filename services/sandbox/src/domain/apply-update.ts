import { findLabelFaults, type Labels } from "./labels.ts";
import type { FieldFault } from "./request-faults.ts";
import type { IdleAction, SandboxRecord } from "./sandbox-record.ts";

/** What is to be changed of a sandbox; undefined stays as it is. */
export interface SandboxUpdate {
  /** Deleted so long after the request; 0 means never. */
  readonly expireAfterMs: number | undefined;
  /** 0 means never. */
  readonly idleTimeoutMs: number | undefined;
  readonly idleAction: IdleAction | undefined;
  readonly setLabels: Labels;
  readonly removeLabels: readonly string[];
}

/** What of a sandbox an update can change. */
export type Updatable = Pick<SandboxRecord, "spec" | "labels" | "createTimeMs" | "expireTimeMs">;

/** A sandbox with an update, and what is wrong with that. Its time to live is counted from its creation, as it always was. */
export function applyUpdate(
  before: Updatable,
  update: SandboxUpdate,
  nowMs: number,
): { readonly after: Updatable; readonly faults: readonly FieldFault[] } {
  const { createTimeMs } = before;
  const removed = new Set(update.removeLabels);
  const kept = Object.entries(before.labels).filter(([key]) => !removed.has(key));
  const labels = { ...Object.fromEntries(kept), ...update.setLabels };
  const { expireAfterMs, idleTimeoutMs } = update;
  const expireTimeMs =
    expireAfterMs === undefined ? before.expireTimeMs : expireAfterMs === 0 ? undefined : nowMs + expireAfterMs;
  const spec = {
    ...before.spec,
    ttlMs: expireTimeMs === undefined ? undefined : expireTimeMs - createTimeMs,
    idleTimeoutMs:
      idleTimeoutMs === undefined ? before.spec.idleTimeoutMs : idleTimeoutMs === 0 ? undefined : idleTimeoutMs,
    idleAction: update.idleAction ?? before.spec.idleAction,
  };
  return {
    after: { createTimeMs, labels, expireTimeMs, spec },
    faults: findLabelFaults(labels).map((fault) => ({ ...fault, field: "set_labels" })),
  };
}
