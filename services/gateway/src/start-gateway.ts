import { randomUUID } from "node:crypto";
import { AuthService } from "@sandgate/api/auth";
import { Health, HealthCheckResponse_ServingStatus } from "@sandgate/api/grpc/health";
import { Listener } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { CallMetrics, startWebFront } from "@sandgate/identity";
import {
  type CertificatesInUse,
  type Channel,
  createClient,
  createGrpcChannel,
  FileCertificateStore,
  healthService,
  Pipeline,
  ServiceError,
} from "@sandgate/rpc";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import type { gatewayConfig } from "./gateway-config.ts";
import { relayService } from "./relay-service.ts";

/** A started gateway. */
export interface RunningGateway {
  readonly checks: Checks;
  readonly addresses: { readonly web: readonly string[] };
  /** Reads every certificate again that follows its file, and answers which are in use. */
  certificates(): Promise<CertificatesInUse>;
  stop(): Promise<void>;
}

const relayed = { auth: AuthService, sandbox: SandboxService, policy: PolicyService } as const;
const healthTimeoutMs = 1_500;
const healthIsKnownMs = 1_000;

/** Starts the web gateway: every call is relayed to the service that has it, whose pipeline alone decides. */
export async function startGateway(
  config: z.output<typeof gatewayConfig>,
  deps: { readonly logger: Logger; readonly registry: Registry; readonly clock: () => number },
): Promise<RunningGateway> {
  const { logger, clock } = deps;
  const certificates = new FileCertificateStore(
    {
      caFiles: [config.tls.service_ca_file],
      certificateFile: config.tls.certificate_file,
      keyFile: config.tls.key_file,
    },
    { onFault: (fault) => logger.warn({ err: fault }, "certificates could not be read again") },
  );
  const channelTo = (name: keyof typeof relayed): Channel =>
    createGrpcChannel({
      address: config.clients[name].address,
      serverName: `${name}.${config.trust_domain}`,
      certificates,
    });
  const channels = { auth: channelTo("auth"), sandbox: channelTo("sandbox"), policy: channelTo("policy") };
  const names = ["auth", "sandbox", "policy"] as const;
  const checks = Object.fromEntries(names.map((name) => [name, () => requireServing(channels[name])]));
  const isServing = rememberFor(healthIsKnownMs, clock, () =>
    Promise.all(names.map((name) => requireServing(channels[name]))).then(
      () => true,
      () => false,
    ),
  );

  const metrics = new CallMetrics(deps.registry);
  const pipeline = new Pipeline({
    listener: Listener.EDGE,
    services: names.map((name) => relayService(relayed[name], channels[name])),
    openServices: [healthService({ services: Object.values(relayed), isServing })],
    steps: [], // it decides nothing: the services do, on the caller's own credential
    observe: (outcome) => metrics.countCall(outcome),
  });
  const web = await startWebFront({
    settings: config.web,
    tls: config.tls,
    pipeline,
    isServing,
    newId: randomUUID,
    onFault: (fault) => logger.error({ err: fault }, "the web front failed"),
  });
  return {
    checks,
    addresses: { web: web.addresses },
    certificates: async () => {
      certificates.reload();
      web.certificates.reload();
      return certificates.inUse;
    },
    stop: async () => {
      await web.stop(2_000);
      for (const channel of Object.values(channels)) channel.close();
      certificates.close();
    },
  };
}

async function requireServing(channel: Channel): Promise<void> {
  const { status } = await createClient(Health, channel).check({}, { timeoutMs: healthTimeoutMs });
  if (status !== HealthCheckResponse_ServingStatus.SERVING)
    throw new ServiceError("UNAVAILABLE", "the service is not serving");
}

/** Asks at most once in a while, however often it is asked: anybody may ask for health. */
function rememberFor(lifeMs: number, clock: () => number, ask: () => Promise<boolean>): () => Promise<boolean> {
  let last: Promise<boolean> | undefined;
  let askedAt = 0;
  return () => {
    if (last === undefined || clock() - askedAt >= lifeMs) {
      askedAt = clock();
      last = ask();
    }
    return last;
  };
}
