import { randomUUID } from "node:crypto";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { type AuthParts, openAuth } from "@sandgate/auth";
import { toConnectionSettings } from "@sandgate/config";
import { createServiceListeners, type ServiceListeners, startWebFront } from "@sandgate/identity";
import { formatSpiffeId } from "@sandgate/pki";
import { openPolicy, type PolicyParts } from "@sandgate/policy-service";
import { type CertificatesInUse, createClient, createInProcessChannel } from "@sandgate/rpc";
import { createDriver, openSandbox, type SandboxParts } from "@sandgate/sandbox";
import { background, type Checks, type Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import type { allInOneConfig } from "./all-in-one-config.ts";

/** A started control plane. */
export interface RunningAllInOne {
  readonly checks: Checks;
  readonly addresses: Readonly<Record<"edge" | "mtls" | "gateway" | "web", readonly string[]>> & {
    readonly jwks?: string;
  };
  /** Reads every certificate again that follows its file, and answers which are in use. */
  certificates(): Promise<CertificatesInUse>;
  stop(): Promise<void>;
}

/** Starts Auth, Policy and Sandbox in this process; they meet through the pipeline of its mutual TLS listener. */
export async function startAllInOne(
  config: z.output<typeof allInOneConfig>,
  deps: {
    readonly logger: Logger;
    readonly registry: Registry;
    readonly clock: () => number;
    readonly parts?: SandboxParts & { readonly auth?: AuthParts; readonly policy?: PolicyParts };
  },
): Promise<RunningAllInOne> {
  const { logger, registry, clock, parts } = deps;
  const trustDomain = config.trust_domain;
  const connection = toConnectionSettings(config.database);
  const listening = Promise.withResolvers<ServiceListeners>();
  // the modules are made before the listeners that carry them
  const sockets = {
    open: async (sandboxId: string) => (await listening.promise).sockets.open(sandboxId),
    close: async (sandboxId: string) => (await listening.promise).sockets.close(sandboxId),
  };
  let listeners: ServiceListeners | undefined;
  const channelOf = (service: "sandbox" | "policy") =>
    createInProcessChannel({
      pipeline: () => {
        if (listeners === undefined) throw new TypeError("a module calls before it is started");
        return listeners.inProcess;
      },
      peer: formatSpiffeId({ trustDomain, kind: "service", name: service }),
      newCallId: randomUUID,
    });

  const auth = await openAuth({
    settings: config,
    operatorAuthorityFile: config.tls.operator_ca_file,
    connection,
    trustDomain,
    sockets,
    parts: parts?.auth,
    logger,
    clock,
  });
  const { trust, subjects: register } = auth.module;
  const policy = await openPolicy({
    settings: config,
    connection,
    trust,
    register,
    auth: createClient(AuthService, channelOf("policy")),
    sockets,
    parts: parts?.policy,
    logger,
    clock,
  });
  const sandbox = await openSandbox({
    settings: config,
    connection,
    trustDomain,
    trust,
    register,
    auth: createClient(AuthService, channelOf("sandbox")),
    policy: createClient(PolicyService, channelOf("sandbox")),
    driver: () =>
      createDriver({
        settings: config,
        controlDirectory: config.directories.control,
        serviceCaFile: config.tls.service_ca_file,
        trustDomain,
        sockets: { enrol: "enrol.sock", auth: "control.sock", policy: "control.sock", sandbox: "control.sock" },
      }),
    sockets,
    parts,
    registry,
    logger,
    clock,
  });
  const audits = new Map([
    [AuthService.typeName, auth.audit],
    [PolicyService.typeName, policy.audit],
    [SandboxService.typeName, sandbox.audit],
  ]);
  listeners = createServiceListeners({
    services: [...auth.module.services, ...policy.module.services, ...sandbox.module.services],
    trust,
    register,
    trustDomain,
    authenticators: auth.authenticators,
    oidc: auth.oidc,
    tls: config.tls,
    edgeAddresses: config.listeners.edge.addresses,
    mtlsAddresses: config.listeners.mtls.addresses,
    sandboxSockets: { directory: config.directories.control, enrolName: "enrol.sock", controlName: "control.sock" },
    recordDenial: async (service, record) => (audits.get(service) ?? auth.audit).record(record),
    metrics: registry,
    clock,
    newId: randomUUID,
    isServing: () => trust.isCurrent(),
    onFault: (fault, what) => logger.error({ err: fault, ...what }, "a call failed"),
  });
  listening.resolve(listeners);
  const shareAuthorities = (): void =>
    background(sandbox.shareAuthorities(), logger, "the authorities could not be given to the sandboxes");
  listeners.certificates.onChange(shareAuthorities);

  await auth.module.start();
  await policy.module.start();
  await sandbox.module.start();
  shareAuthorities(); // they may have changed while nothing ran here
  const bound = await listeners.start();
  const web =
    config.web &&
    (await startWebFront({
      settings: config.web,
      tls: config.tls,
      pipeline: listeners.web,
      isServing: () => trust.isCurrent(),
      newId: randomUUID,
      onFault: (fault) => logger.error({ err: fault }, "the web front failed"),
    }));
  const jwks = await auth.startJwks(config.tls);
  return {
    checks: prefixed({ auth: auth.module.checks, policy: policy.module.checks, sandbox: sandbox.module.checks }),
    addresses: { ...bound, web: web?.addresses ?? [], ...(jwks !== undefined && { jwks }) },
    certificates: async () => {
      await auth.reloadCertificates();
      listeners.certificates.reload();
      web?.certificates.reload();
      await sandbox.shareAuthorities();
      return listeners.certificates.inUse;
    },
    stop: async () => {
      await sandbox.module.stop();
      await policy.module.stop();
      await auth.module.stop();
      await Promise.all([web?.stop(2_000), listeners?.stop(2_000)]);
      await sandbox.close();
      await policy.close();
      await auth.close();
    },
  };
}

/** The checks of all modules, each under its module's name. */
function prefixed(modules: Readonly<Record<string, Checks>>): Checks {
  return Object.fromEntries(
    Object.entries(modules).flatMap(([module, checks]) =>
      Object.entries(checks).map(([name, check]) => [`${module}_${name}`, check]),
    ),
  );
}
