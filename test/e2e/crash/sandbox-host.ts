/** Sandbox as a program of its own that can be killed at its crash points. */
import { sandboxConfig } from "../../../services/sandbox/src/sandbox-config.ts";
import { startSandbox } from "../../../services/sandbox/src/start-sandbox.ts";
import { runCrashHost } from "./run-crash-host.ts";
import { sandboxParts } from "./sandbox-parts.ts";

await runCrashHost(({ orders, reach, deps }) =>
  startSandbox(sandboxConfig.parse(orders.config), { ...deps, parts: sandboxParts(reach) }),
);
