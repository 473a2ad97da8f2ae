import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { closeInheritedDescriptors } from "./close-inherited-descriptors.ts";
import { debugRpc } from "./debug/debug-rpc.ts";
import { hearLine } from "./hear-line.ts";
import { takeCredentialSource } from "./identity/credential-source.ts";
import { createLogger } from "./logger.ts";
import { type SupervisorOptions, type SupervisorParts, startSupervisor } from "./supervisor.ts";
import { type Boundary, parseSupervisorConfig } from "./supervisor-config.ts";
import { systemTimers } from "./timers.ts";
import { bundledProgram } from "./user-boundary/bundled-program.ts";
import { requireOwnPaths } from "./user-boundary/require-own-paths.ts";

const stopGraceMs = 60_000;

/** Where things are, which depends on who makes the workload's namespaces. */
function placesOf({
  kind,
}: Boundary): Pick<SupervisorOptions, "runtime" | "privateDirectory" | "programDirectory" | "identityDirectory"> {
  switch (kind) {
    case "namespaces":
      return { runtime: ["/opt/sandgate/bin/node"], privateDirectory: "/tmp" };
    case "user":
      return {
        runtime: bundledProgram("node"),
        privateDirectory: "/run/sandgate",
        identityDirectory: "/run/identity",
        programDirectory: "/run/launch",
      };
  }
}

/**
 * The program that a driver runs in a sandbox: `supervisor.mjs <configuration file> [--wait]`. Exits 0 after a shutdown, 3 when it cannot go on.
 * With --wait it is without an identity until a line comes on its standard input: then the token is there, and the configuration is read anew;
 * when the input ends instead, it exits 0.
 * `supervisor.mjs debug-rpc …` asks a running one.
 */
export async function runSupervisor(parts: SupervisorParts = {}): Promise<never> {
  const logger = createLogger({ write: (line) => process.stderr.write(line), clock: Date.now });
  if (process.argv[2] === "debug-rpc")
    return process.exit(
      await debugRpc(process.argv.slice(3), {
        out: (text) => process.stdout.write(text),
        error: (text) => process.stderr.write(text),
      }),
    );
  try {
    closeInheritedDescriptors();
    const [, , configFile = "/run/sandgate/bootstrap/config.json", option] = process.argv;
    const readConfig = () => parseSupervisorConfig(readFileSync(configFile, "utf8"));
    const config = readConfig();
    if (config.boundary.kind === "user") requireOwnPaths();
    const takeAssignment = () => ({
      config: readConfig(),
      credentialSource: takeCredentialSource({
        // house-rule environment: G-11 names variables, which must be gone from it before a workload is started
        environment: process.env,
        tokenFile: config.tokenFile,
        warn: (message) => logger.warn(message),
      }),
    });
    const supervisor = startSupervisor({
      config,
      parts,
      assignment:
        option === "--wait"
          ? hearLine(0).then((heard) => (heard ? takeAssignment() : process.exit(0)))
          : Promise.resolve(takeAssignment()),
      version: "0.1.0",
      ...placesOf(config.boundary),
      debugSocket: join(dirname(configFile), "debug.sock"),
      timers: systemTimers,
      random: Math.random,
      logger,
    });
    // The driver's way to stop it where the control plane is gone; it kills after its own time.
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => supervisor.shutDown(stopGraceMs));
    await supervisor.ended;
    return process.exit(0);
  } catch (cause) {
    const {
      name = "Error",
      message = String(cause),
      reason,
    } = cause as { name?: string; message?: string; reason?: string };
    logger.error("the supervisor cannot go on", { name, fault: message, reason });
    return process.exit(3);
  }
}
