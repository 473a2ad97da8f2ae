import { randomUUID } from "node:crypto";
import { AccessService } from "@sandgate/api/access";
import { AuthService } from "@sandgate/api/auth";
import { createServiceListeners, openTrust } from "@sandgate/identity";
import {
  type CertificatesInUse,
  createClient,
  createGrpcChannel,
  FileCertificateStore,
  type Handlers,
  implement,
} from "@sandgate/rpc";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import type { envelopeConfig } from "./envelope-config.ts";

/** AccessService on its listener. */
export interface RunningAccessService {
  readonly addresses: readonly string[];
  readonly checks: Checks;
  /** Reads the certificates again, and answers which are in use. */
  certificates(): CertificatesInUse;
  stop(): Promise<void>;
}

/**
 * Starts AccessService on a listener with mutual TLS. Whom it serves it hears from Auth: nobody, until it has. Refused calls are logged, as all that
 * this program keeps is on this machine.
 */
export async function startAccessService(
  settings: NonNullable<z.output<typeof envelopeConfig>["grpc"]>,
  deps: {
    readonly handlers: Handlers<typeof AccessService>;
    readonly registry: Registry;
    readonly clock: () => number;
    readonly logger: Logger;
  },
): Promise<RunningAccessService> {
  const { logger, clock } = deps;
  const { tls, trust_domain: trustDomain } = settings;
  const certificates = new FileCertificateStore(
    { caFiles: [tls.service_ca_file], certificateFile: tls.certificate_file, keyFile: tls.key_file },
    { onFault: (fault) => logger.warn({ err: fault }, "certificates could not be read again") },
  );
  const channel = createGrpcChannel({
    address: settings.auth.address,
    serverName: `auth.${trustDomain}`,
    certificates,
  });
  const view = openTrust({
    client: createClient(AuthService, channel),
    clock,
    onFault: (fault) => logger.warn({ err: fault }, "Auth's trust stream broke off"),
  });
  const listeners = createServiceListeners({
    services: [implement(AccessService, deps.handlers)],
    trust: view.trust,
    register: view.register,
    trustDomain,
    tls,
    edgeAddresses: [],
    mtlsAddresses: settings.addresses,
    recordDenial: async (_service, record) => logger.warn({ denial: record }, "a call was refused"),
    metrics: deps.registry,
    clock,
    newId: randomUUID,
    isServing: () => view.trust.isCurrent(),
    onFault: (fault, what) => logger.error({ err: fault, ...what }, "a call failed"),
  });
  const close = async () => {
    await view.stop();
    channel.close();
    certificates.close();
  };
  const { mtls } = await listeners.start().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    addresses: mtls,
    checks: { trust: () => view.check() },
    certificates: () => {
      certificates.reload();
      listeners.certificates.reload();
      return listeners.certificates.inUse;
    },
    stop: async () => {
      await listeners.stop(2_000);
      await close();
    },
  };
}
