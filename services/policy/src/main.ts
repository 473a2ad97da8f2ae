import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { policyConfig } from "./policy-config.ts";
import { startPolicy } from "./start-policy.ts";

runProgram({
  name: "policy",
  async start() {
    const config = loadConfig({ schema: policyConfig, file: findConfigFile({ argv: process.argv.slice(2) }) });
    const logger = createLogger({ service: "policy", level: config.log.level });
    const registry = createMetrics();
    const policy = await startPolicy(config, { logger, registry, clock: Date.now });
    const { checks, certificates, stop } = policy;
    return { checks, stop, logger, admin: { port: config.admin.port, registry, certificates } };
  },
});
