import { randomUUID } from "node:crypto";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { toConnectionSettings } from "@sandgate/config";
import { createServiceListeners, openOidc, openTrust, type ServiceListeners } from "@sandgate/identity";
import { type CertificatesInUse, createClient, createGrpcChannel, FileCertificateStore } from "@sandgate/rpc";
import { background, type Checks, type Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import { createDriver, openSandbox, type SandboxParts } from "./open-sandbox.ts";
import type { sandboxConfig } from "./sandbox-config.ts";

/** A started Sandbox. */
export interface RunningSandbox {
  readonly checks: Checks;
  readonly addresses: Readonly<Record<"edge" | "mtls" | "gateway", readonly string[]>>;
  /** Reads every certificate again that follows its file, and answers which are in use. */
  certificates(): Promise<CertificatesInUse>;
  stop(): Promise<void>;
}

/** Starts Sandbox as a program of its own. */
export async function startSandbox(
  config: z.output<typeof sandboxConfig>,
  deps: {
    readonly logger: Logger;
    readonly registry: Registry;
    readonly clock: () => number;
    readonly parts?: SandboxParts;
  },
): Promise<RunningSandbox> {
  const { logger, registry, clock } = deps;
  const certificates = new FileCertificateStore({
    caFiles: [config.tls.service_ca_file],
    certificateFile: config.tls.certificate_file,
    keyFile: config.tls.key_file,
  });
  const channelTo = (service: "auth" | "policy") =>
    createGrpcChannel({
      address: config.clients[service].address,
      serverName: `${service}.${config.trust_domain}`,
      certificates,
    });
  const authChannel = channelTo("auth");
  const policyChannel = channelTo("policy");
  const auth = createClient(AuthService, authChannel);
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
  const listening = Promise.withResolvers<ServiceListeners>();
  const sandbox = await openSandbox({
    settings: config,
    connection: toConnectionSettings(config.database),
    trustDomain: config.trust_domain,
    trust: view.trust,
    register: view.register,
    auth,
    policy: createClient(PolicyService, policyChannel),
    driver: () =>
      createDriver({
        settings: config,
        controlDirectory: config.directories.control,
        serviceCaFile: config.tls.service_ca_file,
        trustDomain: config.trust_domain,
        sockets: { enrol: "enrol.sock", auth: "auth.sock", policy: "policy.sock", sandbox: "control.sock" },
      }),
    // the module is made before the listeners that carry it
    sockets: {
      open: async (sandboxId) => (await listening.promise).sockets.open(sandboxId),
      close: async (sandboxId) => (await listening.promise).sockets.close(sandboxId),
    },
    parts: deps.parts,
    registry,
    logger,
    clock,
  });
  const listeners = createServiceListeners({
    services: sandbox.module.services,
    trust: view.trust,
    register: view.register,
    trustDomain: config.trust_domain,
    oidc,
    tls: config.tls,
    edgeAddresses: config.listeners.edge.addresses,
    mtlsAddresses: config.listeners.mtls.addresses,
    gatewayAddresses: config.listeners.gateway.addresses,
    sandboxSockets: { directory: config.directories.control, controlName: "control.sock" },
    recordDenial: (_service, record) => sandbox.audit.record(record),
    metrics: registry,
    clock,
    newId: randomUUID,
    isServing: () => view.trust.isCurrent(),
    onFault: (fault, what) => logger.error({ err: fault, ...what }, "a call failed"),
  });
  listening.resolve(listeners);
  const shareAuthorities = (): void =>
    background(sandbox.shareAuthorities(), logger, "the authorities could not be given to the sandboxes");
  listeners.certificates.onChange(shareAuthorities);
  await sandbox.module.start();
  shareAuthorities(); // they may have changed while nothing ran here
  const addresses = await listeners.start();
  return {
    checks: { ...sandbox.module.checks, trust: () => view.check(), ...oidc.providers.checks },
    addresses,
    certificates: async () => {
      certificates.reload();
      listeners.certificates.reload();
      await sandbox.shareAuthorities();
      return listeners.certificates.inUse;
    },
    stop: async () => {
      await sandbox.module.stop();
      await listeners.stop(2_000);
      await oidc.stop();
      await view.stop();
      await sandbox.close();
      authChannel.close();
      policyChannel.close();
      certificates.close();
    },
  };
}
