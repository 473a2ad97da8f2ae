/** One replica of a program, in a process of its own. It tells over IPC where it listens, and ends when its starter does. */
import { readFileSync } from "node:fs";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { authConfig } from "../../../services/auth/src/auth-config.ts";
import { startAuth } from "../../../services/auth/src/start-auth.ts";
import { proxyConfig } from "../../../services/egress-proxy/src/proxy-config.ts";
import { startEgressProxy } from "../../../services/egress-proxy/src/start-egress-proxy.ts";
import { policyConfig } from "../../../services/policy/src/policy-config.ts";
import { startPolicy } from "../../../services/policy/src/start-policy.ts";
import { sandboxConfig } from "../../../services/sandbox/src/sandbox-config.ts";
import { startSandbox } from "../../../services/sandbox/src/start-sandbox.ts";
import { IdleDriver } from "./idle-driver.ts";

/** What a replica is told in the file that its first argument names. */
export interface ReplicaOrders {
  readonly program: "auth" | "sandbox" | "policy" | "egress-proxy";
  readonly config: unknown;
  /** Of Sandbox. */
  readonly machine: ConstructorParameters<typeof IdleDriver>[0];
}

const { program, config, machine } = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as ReplicaOrders;
const deps = {
  logger: createLogger({ service: program, level: "warn" }),
  registry: createMetrics(),
  clock: Date.now,
};

function start(): Promise<object> {
  switch (program) {
    case "auth":
      return startAuth(authConfig.parse(config), deps);
    case "policy":
      return startPolicy(policyConfig.parse(config), deps);
    case "sandbox":
      return startSandbox(sandboxConfig.parse(config), {
        ...deps,
        parts: {
          driver: () => new IdleDriver(machine),
          timing: { pingIntervalMs: 500, startingMs: 600_000, supervisorTimeoutMs: 1_000 },
        },
      });
    case "egress-proxy":
      return startEgressProxy(proxyConfig.parse(config), deps);
  }
}

const running = await start();
process.on("disconnect", () => process.exit(0));
process.send?.("addresses" in running ? running.addresses : {});
