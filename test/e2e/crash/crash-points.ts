import type { CrashPointOptions } from "../../../libs/testing/src/crash-points.ts";

/** Where the Sandbox service can die around its store: every commit, told apart by the phase that it brings. */
export const sandboxCrashPoints: CrashPointOptions = {
  harmless: [
    ...[
      "find",
      "get",
      "list",
      "listLiving",
      "countByPhase",
      "selectLiving",
      "getFirstPolicy",
      "readLog",
      "findLogEnd",
      "findOwnLogEnd",
      "measureUsage",
      "recallAnswer",
      "readChanges",
    ],
    "close", // gives up locks, which end with the process anyway
  ],
  label: (method, [record]) => {
    if (method !== "replace" || typeof record !== "object" || record === null || !("phase" in record)) return undefined;
    return isFurther(record) ? `${record.phase} again` : String(record.phase);
  },
};

/** Where it can die around its driver: every call that does something. */
export const driverCrashPoints: CrashPointOptions = {
  harmless: [
    ...["takeSpare", "keepSpare", "processDirectory"],
    "shareAuthorities", // as an authority's file changes; every start of the service does it again
  ],
  label: (method, [start]) => (method === "start" && isFurther(start) ? "again" : undefined),
};

/** Whether it is about another incarnation than a sandbox's first. */
function isFurther(about: unknown): boolean {
  return typeof about === "object" && about !== null && "incarnation" in about && about.incarnation !== 1n;
}

/** Where Auth can die around its store: every commit. */
export const authCrashPoints: CrashPointOptions = {
  harmless: [
    ...["findSandbox", "findSandboxByName", "findUser", "findEnrolledKey", "listLivingSandboxIds"],
    ...["openTrust", "readTrust"],
    "prune", // once a minute it removes what has expired, a statement at a time; nothing depends on when it does
  ],
};

/** Where Auth can die around its signing keys: as it starts, and as one is revoked under a sandbox's feet. */
export const keyCrashPoints: CrashPointOptions = {
  harmless: [
    "list",
    ...["rotate", "retire", "reseal"], // of the calendar, or an operator; one transaction, of which no sandbox takes notice
  ],
};

/** Where Auth can die around the sessions of egress tokens: as a supervisor gets one. */
export const sessionCrashPoints: CrashPointOptions = {
  harmless: [
    ...["find", "list"],
    "revoke", // by an operator; those that end with their sandbox end in the register's commit
    "prune", // once a minute, as the register's
  ],
};

/** Where Policy can die around its store: every commit. */
export const policyCrashPoints: CrashPointOptions = {
  harmless: [
    ...["findPolicy", "isRetired", "listRevisions", "listLiving", "findPolicyVersion", "readPolicyChanges"],
    ...["readEnforcementChanges", "listDecisions", "findDecision", "findDecisionPosition", "readDecisionChanges"],
  ],
};

/** Where the egress proxy can die around its calls: with a change received, and applied; with a report due, and made. */
export const proxyCrashPoints: CrashPointOptions = {
  harmless: ["releaseProviderSecret"], // for a workload's request, which ends with the proxy; nothing else rests on the answer
  message: (_, message) => {
    const { change, upserted, removedSandboxIds } = message as {
      change?: { case?: string }; // WatchTrustResponse
      upserted?: readonly unknown[]; // WatchPoliciesResponse
      removedSandboxIds?: readonly unknown[];
    };
    if (change?.case === "revocation") return "revocation";
    if (upserted !== undefined && upserted.length > 0) return "policy";
    if (removedSandboxIds !== undefined && removedSandboxIds.length > 0) return "removal";
    return undefined;
  },
};

/** Where it can die around a sandbox's socket. */
export const channelCrashPoints: CrashPointOptions = { harmless: ["isReachable", "recheck", "cutAllowed"] };

/** Where a supervisor can die: around every call, and every message that says or asks for something new. */
export const supervisorCrashPoints: CrashPointOptions = {
  harmless: [
    ...["getSandboxConfig", "getPrincipal", "getInferenceBundle", "getSandboxProviderEnvironment", "getDraftPolicy"],
    ...["updateConfig", "submitPolicyAnalysis"], // somebody asks through its debugging socket, when he likes
    ...["permitTokenExchange", "exchangeToken"], // a workload asks for them, when it likes; nothing of the sandbox rests on the answer
  ],
  message: (_, message) => {
    const {
      message: said,
      command,
      step,
      output,
    } = message as {
      message?: Oneof; // ConnectSupervisorRequest
      command?: Oneof; // ConnectSupervisorResponse
      step?: Oneof; // RejoinSandboxRequest and RejoinSandboxResponse
      output?: { output?: Oneof }; // RelayExecRequest
    };
    const name = [said, command, step, output?.output].find((oneof) => oneof?.case !== undefined)?.case;
    return name !== undefined && supervisorMessages.has(name) ? name : undefined;
  },
};

interface Oneof {
  readonly case?: string | undefined;
}

const supervisorMessages: ReadonlySet<string> = new Set([
  ...["hello", "confinement", "openExec", "startMain", "workloadGrants", "checkSession"], // ConnectSupervisor, without its ping and pong
  "credentials", // RejoinSandbox
  "exit", // RelayExec
]);

/** The variable of a workload that names the point at which its supervisor is to die. */
export const supervisorPointVariable = "CRASH_AT";

/** Begins the lines of a supervisor's own log that name its points. */
export const supervisorPointPrefix = "crash point ";
