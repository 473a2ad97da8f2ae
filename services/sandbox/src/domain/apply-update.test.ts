import { describe, expect, it } from "vitest";
import { applyUpdate, type SandboxUpdate, type Updatable } from "./apply-update.ts";

const hour = 3_600_000;
const before: Updatable = {
  createTimeMs: 1_000,
  expireTimeMs: 1_000 + hour,
  labels: { team: "web", tier: "a" },
  spec: {
    command: [],
    environment: {},
    limits: { processMemoryBytes: 1, processes: 1, openFiles: 1, fileSizeBytes: 1 },
    ttlMs: hour,
    idleTimeoutMs: undefined,
    idleAction: "STOP",
  },
};
const nothing: SandboxUpdate = {
  expireAfterMs: undefined,
  idleTimeoutMs: undefined,
  idleAction: undefined,
  setLabels: {},
  removeLabels: [],
};
const apply = (update: Partial<SandboxUpdate>) => applyUpdate(before, { ...nothing, ...update }, 500_000);

describe("an update", () => {
  it("of nothing changes nothing", () => {
    expect(apply({})).toEqual({ after: before, faults: [] });
  });

  it("counts the new end from the request, and the time to live from the creation", () => {
    const { after } = apply({ expireAfterMs: 2 * hour });
    expect([after.expireTimeMs, after.spec.ttlMs]).toEqual([500_000 + 2 * hour, 499_000 + 2 * hour]);
    expect(apply({ expireAfterMs: 0 }).after).toMatchObject({ expireTimeMs: undefined, spec: { ttlMs: undefined } });
  });

  it("sets and removes an idle timeout, and what is to happen then", () => {
    expect(apply({ idleTimeoutMs: 60_000, idleAction: "DELETE" }).after.spec).toMatchObject({
      idleTimeoutMs: 60_000,
      idleAction: "DELETE",
    });
    expect(apply({ idleTimeoutMs: 0 }).after.spec).toMatchObject({ idleTimeoutMs: undefined, idleAction: "STOP" });
  });

  it("adds, changes and removes labels, and keeps the others", () => {
    const { after } = apply({ setLabels: { tier: "b", owner: "me" }, removeLabels: ["team", "none"] });
    expect(after.labels).toEqual({ tier: "b", owner: "me" });
  });

  it("leaves no sandbox with too many labels", () => {
    const setLabels = Object.fromEntries(Array.from({ length: 31 }, (_, index) => [`k${index}`, "v"]));
    expect(apply({ setLabels }).faults).toMatchObject([{ field: "set_labels" }]);
    expect(apply({ setLabels, removeLabels: ["team"] }).faults).toEqual([]);
  });
});
