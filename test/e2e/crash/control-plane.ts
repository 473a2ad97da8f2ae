/** The control plane in a process that can be killed at a crash point: `node control-plane.ts <file with its orders>`. */
import { readFileSync, writeSync } from "node:fs";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { type CrashPlan, withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import { allInOneConfig } from "../../../services/all-in-one/src/all-in-one-config.ts";
import { startAllInOne } from "../../../services/all-in-one/src/start-all-in-one.ts";
import { authCrashPoints, driverCrashPoints, policyCrashPoints, storeCrashPoints } from "./crash-points.ts";

const { config, crash, sessionMinutes } = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as {
  config: unknown;
  crash: CrashPlan;
  sessionMinutes?: number;
}; // written by crash-bench.ts
const settings = allInOneConfig.parse(config);
// shorter than a configuration may ask for
const lives = { ...settings.lives, ...(sessionMinutes !== undefined && { session_minutes: sessionMinutes }) };
const suite = await startAllInOne(
  { ...settings, lives },
  {
    logger: createLogger({ service: "all-in-one", level: "info" }),
    registry: createMetrics(),
    clock: Date.now,
    parts: {
      driver: (make) => withCrashPoints("driver", make(), crash, driverCrashPoints),
      store: (store) => withCrashPoints("store", store, crash, storeCrashPoints),
      auth: { store: (store) => withCrashPoints("auth", store, crash, authCrashPoints) },
      policy: { store: (store) => withCrashPoints("policy", store, crash, policyCrashPoints) },
    },
  },
);
process.once("SIGTERM", () => {
  setTimeout(() => {
    writeSync(2, `it does not stop: ${process.getActiveResourcesInfo().join(" ")}\n`);
    process.exit(1);
  }, 15_000);
  void suite.stop().then(() => process.exit(0));
});
writeSync(3, "ready\n");
