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

/** Where Auth can die around its store: every commit. */
export const authCrashPoints: CrashPointOptions = {
  harmless: [
    ...["findSandbox", "findSandboxByName", "findUser", "findEnrolledKey", "listLivingSandboxIds"],
    ...["openTrust", "readTrust"],
    "prune", // once a minute it removes what has expired, a statement at a time; nothing depends on when it does
  ],
};

/** Where Policy can die around its store: every commit. */
export const policyCrashPoints: CrashPointOptions = {
  harmless: [
    ...["findPolicy", "isRetired", "listRevisions", "listLiving", "findPolicyVersion", "readPolicyChanges"],
    ...["readEnforcementChanges", "listDecisions", "findDecisionPosition", "readDecisionChanges"],
  ],
};
