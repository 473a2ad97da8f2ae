import { type ReachCrashPoint, withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import type { SandboxParts } from "../../../services/sandbox/src/open-sandbox.ts";
import { driverCrashPoints, sandboxCrashPoints } from "./crash-points.ts";

/** Crash points around the Sandbox service's store and its driver. On a loaded machine a start may take long. */
export function sandboxParts(reach: ReachCrashPoint): SandboxParts {
  return {
    timing: { pingIntervalMs: 2_000, provisioningMs: 120_000, startingMs: 120_000 },
    driver: (make) => withCrashPoints("driver", make(), reach, driverCrashPoints),
    store: (store) => withCrashPoints("sandbox", store, reach, sandboxCrashPoints),
  };
}
