import { findConfigFile, loadConfig } from "@sandgate/config";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { dropPrivileges } from "./drop-privileges.ts";
import { proxyConfig, proxyUser } from "./proxy-config.ts";
import { startEgressProxy } from "./start-egress-proxy.ts";

runProgram({
  name: "egress-proxy",
  async start() {
    const file = findConfigFile({ argv: process.argv.slice(2) });
    dropPrivileges(loadConfig({ schema: proxyUser, file, env: {} }).user, process);
    const config = loadConfig({ schema: proxyConfig, file });
    const logger = createLogger({ service: "egress-proxy", level: config.log.level });
    const registry = createMetrics();
    const proxy = await startEgressProxy(config, { logger, registry, clock: Date.now });
    const { checks, certificates, stop } = proxy;
    return { checks, stop, logger, admin: { port: config.admin.port, registry, certificates } };
  },
});
