import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { gatewayConfig } from "./gateway-config.ts";
import { startGateway } from "./start-gateway.ts";

runProgram({
  name: "gateway",
  async start() {
    const config = loadConfig({ schema: gatewayConfig, file: findConfigFile({ argv: process.argv.slice(2) }) });
    const logger = createLogger({ service: "gateway", level: config.log.level });
    const registry = createMetrics();
    const gateway = await startGateway(config, { logger, registry, clock: Date.now });
    const { checks, certificates, stop } = gateway;
    return { checks, stop, logger, admin: { port: config.admin.port, registry, certificates } };
  },
});
