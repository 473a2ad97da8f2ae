import { join } from "node:path";
import { Listener } from "@sandgate/api/options";
import type { AuditRecord } from "@sandgate/audit";
import { parseSpiffeId } from "@sandgate/pki";
import {
  type CallOutcome,
  createGrpcServer,
  FileCertificateStore,
  type GrpcServer,
  healthService,
  ListenError,
  Pipeline,
  reflectionService,
  type ServiceImplementation,
  type Step,
} from "@sandgate/rpc";
import type { Registry } from "prom-client";
import type { Authenticator } from "../authenticators/authenticator.ts";
import { OidcUserAuthenticator } from "../authenticators/oidc-user.ts";
import { OperatorCertificateAuthenticator } from "../authenticators/operator-certificate.ts";
import { SandboxTokenAuthenticator } from "../authenticators/sandbox-token.ts";
import { UserSessionAuthenticator } from "../authenticators/user-session.ts";
import type { CertificateAuthorities } from "../steps/certificate-authorities.ts";
import { createIdentityStep } from "../steps/identity-steps.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState } from "../trust/trust-state.ts";
import { CallMetrics } from "./call-metrics.ts";
import { createDenialRecorder } from "./denial-recorder.ts";
import { ListenersError } from "./listeners-error.ts";

/** Paths of this program's certificate and of the authorities that it trusts. */
export interface TlsFiles {
  readonly certificate_file: string;
  readonly key_file: string;
  readonly service_ca_file: string;
  readonly sandbox_ca_file: string;
  readonly operator_ca_file: string;
}

/** Opens and closes the sockets through which one sandbox reaches this program. */
export interface SandboxSockets {
  /** Listens in the sandbox's own directory, which must be there. Repeating it changes nothing. */
  open(sandboxId: string): Promise<void>;
  /** Ends the sockets and their connections. */
  close(sandboxId: string): Promise<void>;
}

/** What the listeners of a program are made of. */
export interface ServiceListenersOptions {
  readonly services: readonly ServiceImplementation[];
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly trustDomain: string;
  /**
   * Asked before and after those that every program has: sandbox token, user session, OIDC user, operator certificate. The chain
   * is the same on every listener.
   */
  readonly authenticators?: { readonly first: readonly Authenticator[]; readonly last: readonly Authenticator[] };
  /** The OpenID providers whose users are ours, started by whoever made them; undefined: there are none. */
  readonly oidc?: Pick<ConstructorParameters<typeof OidcUserAuthenticator>[0], "providers" | "registerUser">;
  readonly tls: TlsFiles;
  readonly edgeAddresses: readonly string[];
  readonly mtlsAddresses: readonly string[];
  /** Where the web gateway, and nobody else, reaches what the edge has. */
  readonly gatewayAddresses?: readonly string[];
  /** Where sandboxes have their directories, and what the sockets in them are called; undefined: the program has none. */
  readonly sandboxSockets?: {
    readonly directory: string;
    /** Only the program with Auth in it has one. */
    readonly enrolName?: string;
    readonly controlName: string;
  };
  /** Takes the denials of calls to a service, named by its full proto name. */
  readonly recordDenial: (service: string, record: AuditRecord) => Promise<void>;
  /** So many denials of one caller are recorded one by one before they are counted; default 100. */
  readonly denialBurst?: number;
  readonly metrics: Registry;
  readonly clock: () => number;
  readonly newId: () => string;
  readonly isServing: () => boolean | Promise<boolean>;
  /** Told of the calls that ended in INTERNAL, with their cause, and of certificates that could not be read again. */
  readonly onFault: (fault: unknown, what: { readonly callId?: string; readonly method?: string }) => void;
}

/** The listeners of one program, all with the same services, steps and authenticators. */
export interface ServiceListeners {
  /** Listens. Answers the addresses, with their ports. Throws ListenersError with all that cannot be had. */
  start(): Promise<Readonly<Record<"edge" | "mtls" | "gateway", readonly string[]>>>;
  readonly sockets: SandboxSockets;
  /** The pipeline that modules of the same process call through. */
  readonly inProcess: Pipeline;
  /** The pipeline of the edge, for a web front in the same process. */
  readonly web: Pipeline;
  /** Certificate, key and authorities, which follow their files. */
  readonly certificates: Pick<FileCertificateStore, "reload" | "inUse" | "onChange">;
  stop(graceMs: number): Promise<void>;
}

/**
 * Makes the listeners of a program: edge, mutual TLS, and the sockets in the sandboxes' directories. Throws when a method
 * has no access option, and when a file of `tls` cannot be read.
 */
export function createServiceListeners(options: ServiceListenersOptions): ServiceListeners {
  const certificates = new FileCertificateStore(
    {
      caFiles: [options.tls.service_ca_file, options.tls.sandbox_ca_file, options.tls.operator_ca_file],
      certificateFile: options.tls.certificate_file,
      keyFile: options.tls.key_file,
    },
    { onFault: (fault) => options.onFault(fault, {}) },
  );
  const authorities = followAuthorities(certificates);
  const metrics = new CallMetrics(options.metrics);
  const denials = createDenialRecorder({
    record: (record, { service }) => options.recordDenial(service, record),
    clock: options.clock,
    burst: options.denialBurst,
  });
  const identify: Step = createIdentityStep({
    trust: options.trust,
    register: options.register,
    trustDomain: options.trustDomain,
    authorities,
    authenticators: [
      ...(options.authenticators?.first ?? []),
      new SandboxTokenAuthenticator(options),
      new UserSessionAuthenticator(options),
      ...(options.oidc === undefined ? [] : [new OidcUserAuthenticator({ ...options, ...options.oidc })]),
      new OperatorCertificateAuthenticator(options),
      ...(options.authenticators?.last ?? []),
    ],
    clock: options.clock,
    recordDenial: async (denial) => {
      metrics.countDenial(
        denial.reason,
        denial.peer === "none" ? "none" : (parseSpiffeId(denial.peer)?.kind ?? "none"),
      );
      await denials.record(denial);
    },
    onOutcome: (authenticator, outcome) => metrics.countAuthentication(authenticator, outcome),
  });
  const observe = (outcome: CallOutcome): void => {
    metrics.countCall(outcome);
    if (outcome.outcome === "INTERNAL")
      options.onFault(outcome.cause, {
        method: outcome.method.name,
        ...(outcome.call !== undefined && { callId: outcome.call.id }),
      });
  };

  const descriptors = options.services.map(({ service }) => service);
  const health = healthService({ services: descriptors, isServing: options.isServing });
  const openServices = [health, reflectionService(descriptors)];
  const server = (
    listener: Listener,
    mutualTls: boolean,
    open: readonly ServiceImplementation[],
    relayed = false,
  ): GrpcServer =>
    createGrpcServer({
      listener,
      services: options.services,
      openServices: open,
      steps: [identify],
      certificates,
      mutualTls,
      relayed,
      newCallId: options.newId,
      observe,
    });
  const edge = server(Listener.EDGE, false, openServices);
  const mtls = server(Listener.MTLS, true, openServices);
  const gateway = server(Listener.EDGE, true, openServices, true);
  const enrol = server(Listener.ENROL, false, []);
  const control = server(Listener.CONTROL, true, []);

  const opened = new Map<string, Promise<void>>();
  const { sandboxSockets } = options;
  const socketsOf = (sandboxId: string): { server: GrpcServer; address: string }[] => {
    if (sandboxSockets === undefined) return [];
    const { directory, enrolName, controlName } = sandboxSockets;
    const at = (name: string): string => `unix:${join(directory, sandboxId, name)}`;
    return [
      ...(enrolName === undefined ? [] : [{ server: enrol, address: at(enrolName) }]),
      { server: control, address: at(controlName) },
    ];
  };

  return {
    certificates,
    inProcess: new Pipeline({ listener: Listener.MTLS, services: options.services, steps: [identify], observe }),
    web: new Pipeline({
      listener: Listener.EDGE,
      services: options.services,
      openServices: [health],
      steps: [identify],
      observe,
    }),
    start: async () => {
      const bindings = [
        ...options.edgeAddresses.map((address, index) => ({ listener: "edge", server: edge, address, index })),
        ...options.mtlsAddresses.map((address, index) => ({ listener: "mtls", server: mtls, address, index })),
        ...(options.gatewayAddresses ?? []).map((address, index) => ({
          listener: "gateway",
          server: gateway,
          address,
          index,
        })),
      ];
      const results = await Promise.allSettled(bindings.map(({ server, address }) => server.bind(address)));
      const faults = results.flatMap((result, at) => {
        const binding = bindings[at];
        if (result.status === "fulfilled" || binding === undefined) return [];
        if (!(result.reason instanceof ListenError)) throw result.reason;
        return [`listeners.${binding.listener}.addresses.${binding.index}: ${result.reason.message}`];
      });
      if (faults.length > 0) throw new ListenersError(faults);
      const bound = (listener: string): readonly string[] =>
        results.flatMap((result, at) =>
          result.status === "fulfilled" && bindings[at]?.listener === listener ? [result.value] : [],
        );
      return { edge: bound("edge"), mtls: bound("mtls"), gateway: bound("gateway") };
    },
    sockets: {
      open: (sandboxId) => {
        let opening = opened.get(sandboxId);
        if (opening === undefined) {
          opening = Promise.all(socketsOf(sandboxId).map((socket) => socket.server.bind(socket.address))).then(
            () => {},
          );
          opened.set(sandboxId, opening);
          opening.catch(() => opened.delete(sandboxId));
        }
        return opening;
      },
      close: async (sandboxId) => {
        const opening = opened.get(sandboxId);
        if (opening === undefined) return;
        opened.delete(sandboxId);
        await opening.catch(() => undefined);
        for (const socket of socketsOf(sandboxId)) socket.server.unbind(socket.address);
      },
    },
    stop: async (graceMs) => {
      await Promise.all([edge, mtls, gateway, enrol, control].map((one) => one.stop(graceMs)));
      certificates.close();
      await denials.stop();
    },
  };
}

/** The authorities as the files have them now, in the order in which the store was given them. */
function followAuthorities(certificates: FileCertificateStore): CertificateAuthorities {
  const pemOf = (index: number): string => certificates.caPems[index] ?? "";
  return {
    get service() {
      return pemOf(0);
    },
    get sandbox() {
      return pemOf(1);
    },
    get operator() {
      return pemOf(2);
    },
    onChange: (listener) => certificates.onChange(listener),
  };
}
