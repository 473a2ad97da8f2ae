/** The supervisor as a program that can be killed at its crash points. It sees nothing of the test's: a variable of its workload names the point. */
import { readFileSync, writeSync } from "node:fs";
import { dieHere, withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import { runSupervisor } from "../../../services/supervisor/src/run-supervisor.ts";
import { supervisorCrashPoints, supervisorPointPrefix, supervisorPointVariable } from "./crash-points.ts";

const [, , configFile = ""] = process.argv;
const { workload } = JSON.parse(readFileSync(configFile, "utf8")) as {
  workload: { environment: Readonly<Record<string, string>> }; // as the driver writes it
};
const killAt = workload.environment[supervisorPointVariable];

function reach(point: string): void {
  writeSync(2, `${supervisorPointPrefix}${point}\n`);
  if (point === killAt) dieHere();
}

await runSupervisor({
  auth: (client) => withCrashPoints("supervisor", client, reach, supervisorCrashPoints),
  sandbox: (client) => withCrashPoints("supervisor", client, reach, supervisorCrashPoints),
});
