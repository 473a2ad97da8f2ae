import { randomUUID } from "node:crypto";
import { toConnectionSettings } from "@sandgate/config";
import { createServiceListeners, type ServiceListeners } from "@sandgate/identity";
import type { CertificatesInUse } from "@sandgate/rpc";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import type { authConfig } from "./auth-config.ts";
import { type AuthParts, openAuth } from "./open-auth.ts";

/** A started Auth. */
export interface RunningAuth {
  readonly checks: Checks;
  readonly addresses: Readonly<Record<"edge" | "mtls" | "gateway", readonly string[]>> & { readonly jwks?: string };
  /** Reads every certificate again that follows its file, and answers which are in use. */
  certificates(): Promise<CertificatesInUse>;
  stop(): Promise<void>;
}

/** Starts Auth as a program of its own. */
export async function startAuth(
  config: z.output<typeof authConfig>,
  deps: {
    readonly logger: Logger;
    readonly registry: Registry;
    readonly clock: () => number;
    readonly parts?: AuthParts;
  },
): Promise<RunningAuth> {
  const { logger, registry, clock } = deps;
  const listening = Promise.withResolvers<ServiceListeners>();
  const auth = await openAuth({
    settings: config,
    operatorAuthorityFile: config.tls.operator_ca_file,
    connection: toConnectionSettings(config.database),
    trustDomain: config.trust_domain,
    // the module is made before the listeners that carry it
    sockets: {
      open: async (sandboxId) => (await listening.promise).sockets.open(sandboxId),
      close: async (sandboxId) => (await listening.promise).sockets.close(sandboxId),
    },
    parts: deps.parts,
    logger,
    clock,
  });
  const { trust, subjects: register } = auth.module;
  const listeners = createServiceListeners({
    trust,
    register,
    trustDomain: config.trust_domain,
    clock,
    services: auth.module.services,
    authenticators: auth.authenticators,
    oidc: auth.oidc,
    tls: config.tls,
    edgeAddresses: config.listeners.edge.addresses,
    mtlsAddresses: config.listeners.mtls.addresses,
    gatewayAddresses: config.listeners.gateway.addresses,
    ...(config.directories !== undefined && {
      sandboxSockets: { directory: config.directories.control, enrolName: "enrol.sock", controlName: "auth.sock" },
    }),
    recordDenial: (_service, record) => auth.audit.record(record),
    metrics: registry,
    newId: randomUUID,
    isServing: () => trust.isCurrent(),
    onFault: (fault, what) => logger.error({ err: fault, ...what }, "a call failed"),
  });
  listening.resolve(listeners);
  await auth.module.start();
  const bound = await listeners.start();
  const jwks = await auth.startJwks(config.tls);
  return {
    checks: auth.module.checks,
    addresses: { ...bound, ...(jwks !== undefined && { jwks }) },
    certificates: async () => {
      await auth.reloadCertificates();
      listeners.certificates.reload();
      return listeners.certificates.inUse;
    },
    stop: async () => {
      await auth.module.stop();
      await listeners.stop(2_000);
      await auth.close();
    },
  };
}
