import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { sandboxConfig } from "./sandbox-config.ts";
import { startSandbox } from "./start-sandbox.ts";

runProgram({
  name: "sandbox",
  async start() {
    const config = loadConfig({ schema: sandboxConfig, file: findConfigFile({ argv: process.argv.slice(2) }) });
    const logger = createLogger({ service: "sandbox", level: config.log.level });
    const registry = createMetrics();
    const sandbox = await startSandbox(config, { logger, registry, clock: Date.now });
    const { checks, certificates, stop } = sandbox;
    return { checks, stop, logger, admin: { port: config.admin.port, registry, certificates } };
  },
});
