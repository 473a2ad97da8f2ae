import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { allInOneConfig } from "./all-in-one-config.ts";
import { startAllInOne } from "./start-all-in-one.ts";

runProgram({
  name: "all-in-one",
  async start() {
    const config = loadConfig({ schema: allInOneConfig, file: findConfigFile({ argv: process.argv.slice(2) }) });
    const logger = createLogger({ service: "all-in-one", level: config.log.level });
    const registry = createMetrics();
    const suite = await startAllInOne(config, { logger, registry, clock: Date.now });
    const { checks, certificates, stop } = suite;
    return { checks, stop, logger, admin: { port: config.admin.port, registry, certificates } };
  },
});
