import { randomUUID } from "node:crypto";
import { AuthService } from "@sandgate/api/auth";
import { toConnectionSettings } from "@sandgate/config";
import { createServiceListeners, openOidc, openTrust, type ServiceListeners } from "@sandgate/identity";
import { type CertificatesInUse, createClient, createGrpcChannel, FileCertificateStore } from "@sandgate/rpc";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import { openPolicy, type PolicyParts } from "./open-policy.ts";
import type { policyConfig } from "./policy-config.ts";

/** A started Policy. */
export interface RunningPolicy {
  readonly checks: Checks;
  readonly addresses: Readonly<Record<"edge" | "mtls" | "gateway", readonly string[]>>;
  /** Reads every certificate again that follows its file, and answers which are in use. */
  certificates(): Promise<CertificatesInUse>;
  stop(): Promise<void>;
}

/** Starts Policy as a program of its own. */
export async function startPolicy(
  config: z.output<typeof policyConfig>,
  deps: {
    readonly logger: Logger;
    readonly registry: Registry;
    readonly clock: () => number;
    readonly parts?: PolicyParts;
  },
): Promise<RunningPolicy> {
  const { logger, registry, clock } = deps;
  const certificates = new FileCertificateStore({
    caFiles: [config.tls.service_ca_file],
    certificateFile: config.tls.certificate_file,
    keyFile: config.tls.key_file,
  });
  const channel = createGrpcChannel({
    address: config.clients.auth.address,
    serverName: `auth.${config.trust_domain}`,
    certificates,
  });
  const auth = createClient(AuthService, channel);
  const listening = Promise.withResolvers<ServiceListeners>();
  const view = openTrust({
    client: auth,
    clock,
    onFault: (fault) => logger.warn({ err: fault }, "Auth's trust stream broke off"),
  });
  const oidc = openOidc({
    settings: config.oidc,
    client: auth,
    clock,
    onFault: (fault, provider) =>
      logger.warn({ err: fault, provider }, "the keys of an OpenID provider cannot be read"),
  });
  const policy = await openPolicy({
    settings: config,
    connection: toConnectionSettings(config.database),
    trust: view.trust,
    register: view.register,
    parts: deps.parts,
    auth,
    // the module is made before the listeners that carry it
    sockets: {
      open: async (sandboxId) => (await listening.promise).sockets.open(sandboxId),
      close: async (sandboxId) => (await listening.promise).sockets.close(sandboxId),
    },
    logger,
    clock,
  });
  const listeners = createServiceListeners({
    services: policy.module.services,
    trust: view.trust,
    register: view.register,
    trustDomain: config.trust_domain,
    oidc,
    tls: config.tls,
    edgeAddresses: config.listeners.edge.addresses,
    mtlsAddresses: config.listeners.mtls.addresses,
    gatewayAddresses: config.listeners.gateway.addresses,
    ...(config.directories !== undefined && {
      sandboxSockets: { directory: config.directories.control, controlName: "policy.sock" },
    }),
    recordDenial: (_service, record) => policy.audit.record(record),
    metrics: registry,
    clock,
    newId: randomUUID,
    isServing: () => view.trust.isCurrent(),
    onFault: (fault, what) => logger.error({ err: fault, ...what }, "a call failed"),
  });
  listening.resolve(listeners);
  await policy.module.start();
  const addresses = await listeners.start();
  return {
    checks: { ...policy.module.checks, trust: () => view.check(), ...oidc.providers.checks },
    addresses,
    certificates: async () => {
      certificates.reload();
      listeners.certificates.reload();
      return listeners.certificates.inUse;
    },
    stop: async () => {
      await policy.module.stop();
      await listeners.stop(2_000);
      await oidc.stop();
      await view.stop();
      await policy.close();
      channel.close();
      certificates.close();
    },
  };
}
