import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { authConfig } from "./auth-config.ts";
import { startAuth } from "./start-auth.ts";

runProgram({
  name: "auth",
  async start() {
    const config = loadConfig({ schema: authConfig, file: findConfigFile({ argv: process.argv.slice(2) }) });
    const logger = createLogger({ service: "auth", level: config.log.level });
    const registry = createMetrics();
    const auth = await startAuth(config, { logger, registry, clock: Date.now });
    const { checks, certificates, stop } = auth;
    return { checks, stop, logger, admin: { port: config.admin.port, registry, certificates } };
  },
});
