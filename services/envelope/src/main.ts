import { findConfigFile, loadConfig, readEnvironment } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { envelopeConfig } from "./envelope-config.ts";
import { readReferenceFlags } from "./reference-flags.ts";
import { startEnvelope } from "./start-envelope.ts";

/** Before the flags of M-Lab's envelope. */
const REFERENCE_MODE = "--compatible";

runProgram({
  name: "envelope",
  async start() {
    const argv = process.argv.slice(2);
    const reference = argv[0] === REFERENCE_MODE ? readReferenceFlags(argv.slice(1), readEnvironment()) : undefined;
    const config =
      reference === undefined
        ? loadConfig({ schema: envelopeConfig, file: findConfigFile({ argv }) })
        : loadConfig({ schema: envelopeConfig, content: reference.config, env: {} });
    const logger = createLogger({ service: "envelope", level: config.log.level });
    for (const warning of reference?.warnings ?? []) logger.warn(warning);
    if (reference !== undefined) logger.info({ flags: reference.values }, "flags");
    const registry = createMetrics();
    const monotonic = () => performance.now();
    const envelope = await startEnvelope(config, { logger, registry, clock: Date.now, monotonic });
    const { certificates, status } = envelope;
    const admin = { port: config.admin.port, registry, certificates, documents: { "/leases": status } };
    return { checks: envelope.checks, stop: envelope.stop, logger, admin };
  },
});
