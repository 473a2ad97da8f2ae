import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { findConfigFile, loadConfig } from "@sandgate/config";
import { createClient, createGrpcChannel, FileCertificateStore } from "@sandgate/rpc";
import { createLogger, createMetrics, runProgram } from "@sandgate/telemetry";
import { newDecisionId } from "./decision-id.ts";
import { dropPrivileges } from "./drop-privileges.ts";
import { createEgressProxyModule } from "./module.ts";
import { proxyConfig, proxyUser, toLimits } from "./proxy-config.ts";

runProgram({
  name: "egress-proxy",
  async start() {
    const file = findConfigFile({ argv: process.argv.slice(2) });
    dropPrivileges(loadConfig({ schema: proxyUser, file, env: {} }).user, process);
    const config = loadConfig({ schema: proxyConfig, file });
    const logger = createLogger({ service: "egress-proxy", level: config.log.level });
    const registry = createMetrics();
    const certificates = new FileCertificateStore(
      {
        caFiles: [config.tls.service_ca_file],
        certificateFile: config.tls.certificate_file,
        keyFile: config.tls.key_file,
      },
      { onFault: (fault) => logger.warn({ err: fault }, "certificates could not be read again") },
    );
    const channelTo = (service: "auth" | "policy") =>
      createGrpcChannel({
        address: config.clients[service].address,
        serverName: `${service}.${config.trust_domain}`,
        certificates,
      });
    const auth = channelTo("auth");
    const policy = channelTo("policy");
    const proxy = createEgressProxyModule({
      auth: createClient(AuthService, auth),
      policy: createClient(PolicyService, policy),
      trustDomain: config.trust_domain,
      egressDirectory: config.directories.egress,
      limits: toLimits(config.limits),
      dnsServers: config.dns.servers,
      developmentOrigins: (config.development?.origins ?? []).map(({ target_port, ...origin }) => ({
        ...origin,
        targetPort: target_port,
      })),
      ownPorts: new Set([config.admin.port, ...Object.values(config.clients).map(({ address }) => portOf(address))]),
      clock: Date.now,
      newDecisionId,
      logger,
      registry,
    });
    await proxy.start();
    return {
      checks: proxy.checks,
      logger,
      admin: { port: config.admin.port, registry },
      async stop() {
        await proxy.stop();
        auth.close();
        policy.close();
        certificates.close();
      },
    };
  },
});

/** The port of an address; 0, which is no one's, for a Unix socket. */
function portOf(address: string): number {
  return address.startsWith("unix:") ? 0 : Number(address.slice(address.lastIndexOf(":") + 1));
}
