import type { CrashPointOptions } from "../../../libs/testing/src/crash-points.ts";

/** Where the Sandbox service can die around its store: every commit, told apart by the phase that it brings. */
export const storeCrashPoints: CrashPointOptions = {
  harmless: [
    ...["find", "get", "list", "listLiving", "selectLiving", "getFirstPolicy", "readLog", "findLogEnd"],
    "close", // gives up locks, which end with the process anyway
  ],
  label: (method, [record]) => {
    if (method !== "replace" || typeof record !== "object" || record === null || !("phase" in record)) return undefined;
    return String(record.phase);
  },
};

/** Where it can die around its driver: every call. */
export const driverCrashPoints: CrashPointOptions = { harmless: [] };
