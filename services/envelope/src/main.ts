import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { envelopeConfig } from "./envelope-config.ts";
import { startEnvelope } from "./start-envelope.ts";

runProgram({
  name: "envelope",
  async start() {
    const config = loadConfig({ schema: envelopeConfig, file: findConfigFile({ argv: process.argv.slice(2) }) });
    const logger = createLogger({ service: "envelope", level: config.log.level });
    const registry = createMetrics();
    const monotonic = () => performance.now();
    const envelope = await startEnvelope(config, { logger, registry, clock: Date.now, monotonic });
    const { certificates, status } = envelope;
    const admin = { port: config.admin.port, registry, certificates, documents: { "/leases": status } };
    return { checks: envelope.checks, stop: envelope.stop, logger, admin };
  },
});
