import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { type CertificatesInUse, createClient, createGrpcChannel, FileCertificateStore } from "@sandgate/rpc";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import { newDecisionId } from "./decision-id.ts";
import { createEgressProxyModule, type EgressProxyDeps } from "./module.ts";
import { type ProxyConfig, toLimits } from "./proxy-config.ts";

/** A started egress proxy. */
export interface RunningEgressProxy {
  readonly checks: Checks;
  /** Reads every certificate again that follows its file, and answers which are in use. */
  certificates(): Promise<CertificatesInUse>;
  stop(): Promise<void>;
}

/** What a test puts around the parts of the proxy. */
export interface EgressProxyParts extends Pick<EgressProxyDeps, "aroundChannel"> {
  readonly auth?: (client: EgressProxyDeps["auth"]) => EgressProxyDeps["auth"];
  readonly policy?: (client: EgressProxyDeps["policy"]) => EgressProxyDeps["policy"];
}

/** Starts the egress proxy. The process must have given up its privileges. */
export async function startEgressProxy(
  config: ProxyConfig,
  deps: {
    readonly logger: Logger;
    readonly registry: Registry;
    readonly clock: () => number;
    readonly parts?: EgressProxyParts;
  },
): Promise<RunningEgressProxy> {
  const { logger, parts } = deps;
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
  const channels = { auth: channelTo("auth"), policy: channelTo("policy") };
  const auth = createClient(AuthService, channels.auth);
  const policy = createClient(PolicyService, channels.policy);
  const proxy = createEgressProxyModule({
    auth: parts?.auth?.(auth) ?? auth,
    policy: parts?.policy?.(policy) ?? policy,
    aroundChannel: parts?.aroundChannel,
    trustDomain: config.trust_domain,
    egressDirectory: config.directories.egress,
    limits: toLimits(config.limits),
    dnsServers: config.dns.servers,
    developmentOrigins: (config.development?.origins ?? []).map(({ target_port, ...origin }) => ({
      ...origin,
      targetPort: target_port,
    })),
    originAuthorities: readOriginAuthorities(config.origin_ca_file),
    ownPorts: new Set([
      config.admin.port,
      ...Object.values(config.clients).flatMap(({ address }) => [address].flat().map(portOf)),
    ]),
    clock: deps.clock,
    newDecisionId,
    logger,
    registry: deps.registry,
  });
  await proxy.start();
  return {
    checks: proxy.checks,
    certificates: async () => {
      certificates.reload();
      return certificates.inUse;
    },
    stop: async () => {
      await proxy.stop();
      channels.auth.close();
      channels.policy.close();
      certificates.close();
    },
  };
}

/** Node's own authorities, and those of the file where there is one. */
function readOriginAuthorities(file: string | undefined): readonly string[] | undefined {
  return file === undefined ? undefined : [...rootCertificates, readFileSync(file, "utf8")];
}

/** The port of an address; 0, which is no one's, for a Unix socket. */
function portOf(address: string): number {
  return address.startsWith("unix:") ? 0 : Number(address.slice(address.lastIndexOf(":") + 1));
}
