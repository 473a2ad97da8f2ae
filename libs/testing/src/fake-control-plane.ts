import { createPublicKey, randomBytes, verify, X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AuthService,
  type ExchangeTokenRequest,
  type IssueSandboxTokenRequest,
  type RejoinSandboxRequest,
  type RejoinSandboxResponseSchema,
  type SandboxCredentialsSchema,
} from "@sandgate/api/auth";
import { Listener } from "@sandgate/api/options";
import { type PermitTokenExchangeRequest, PolicyService } from "@sandgate/api/policy";
import {
  type ConfinementReport,
  type ConnectSupervisorRequest,
  type ConnectSupervisorResponseSchema,
  type ExecInputSchema,
  type ExecOutput,
  type ExecStartSchema,
  type OpenExecSchema,
  type ProcessExit,
  type PushSandboxLogsRequest,
  type RelayExecRequest,
  type RelayExecResponseSchema,
  type ReportProcessExitRequest,
  SandboxService,
} from "@sandgate/api/sandbox";
import { createKeyPair } from "@sandgate/pki";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { type Call, CertificateStore, createGrpcServer, type GrpcServer, ServiceError } from "@sandgate/rpc";

type Command = MessageInitShape<typeof ConnectSupervisorResponseSchema>["command"];

/** One supervisor's stream, as the control plane has it. */
export interface FakeSession {
  readonly incarnation: bigint;
  readonly confinement: Promise<ConfinementReport>;
  send(command: Command): void;
  /** Ends the stream from the server's side. */
  end(): void;
}

/** A command that runs in a sandbox. */
export interface FakeExec {
  readonly outputs: AsyncIterable<ExecOutput>;
  input(input: MessageInitShape<typeof ExecInputSchema>["input"]): void;
  /** As when the caller of ExecSandbox goes away. */
  abandon(): void;
  /** Reads everything to the end. */
  collect(): Promise<{ stdout: string; stderr: string; exit: ProcessExit | undefined; startFault: string | undefined }>;
}

/** A call about the inside of a sandbox. */
export interface FakeCall {
  readonly answers: AsyncIterable<RelayExecRequest["answer"]>;
  /** What its caller says after his first message. */
  say(message: MessageInitShape<typeof RelayExecResponseSchema>["message"]): void;
  /** As when the caller goes away. */
  abandon(): void;
}

/** Auth and Sandbox, as much of them as one supervisor meets, on real sockets with real certificates. */
export interface FakeControlPlane {
  readonly serviceCa: string;
  readonly serverName: string;
  /** The only token that enrols, once. */
  readonly bootstrapToken: string;
  /** Listens on enrol.sock and control.sock in a directory. */
  open(directory: string): Promise<void>;
  /** Takes the sockets away and ends every connection, as a restart does. */
  close(): Promise<void>;
  /** The next session that a supervisor opens, or the open one. */
  session(): Promise<FakeSession>;
  /** The next session after this one. */
  sessionAfter(session: FakeSession): Promise<FakeSession>;
  exec(session: FakeSession, start: MessageInitShape<typeof ExecStartSchema>): FakeExec;
  call(session: FakeSession, operation: MessageInitShape<typeof OpenExecSchema>["operation"]): FakeCall;
  /** What the main process wrote, as far as it is stored. */
  log(): string;
  /** How the main process ended, once it is reported. */
  readonly mainExit: Promise<ProcessExit>;
  /** Resolves when the condition holds; it is asked again after every call that a supervisor makes. */
  until(condition: () => boolean): Promise<void>;
  /** Every session and egress token that was issued. */
  readonly issued: readonly string[];
  /** Counts calls by method. */
  readonly calls: Readonly<Record<string, number>>;
  /** For how long a sandbox was idle, as the last pong says. */
  readonly idle: Duration | undefined;
  /** The life of what is issued; default 15 minutes. */
  lifeMs: number;
  /** What Policy grants. */
  audiences: readonly string[];
  /** What Policy answers for the environment of providers. */
  providerEnvironment: Record<string, string>;
  /** Calls of this method fail with UNAVAILABLE while it is set. */
  broken: string | undefined;
}

const trustDomain = "sandgate.test";

/** Makes a control plane for one sandbox id. */
export async function createFakeControlPlane(sandboxId: string): Promise<FakeControlPlane> {
  const now = Date.now();
  const notAfter = now + 86_400_000;
  const serviceAuthority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "services", notAfter, now }),
  );
  const sandboxAuthority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "sandboxes", notAfter, now }),
  );
  const serverName = `all.${trustDomain}`;
  const keys = createKeyPair();
  const leaf = await serviceAuthority.issueServiceCertificate({
    trustDomain,
    service: "all-in-one",
    publicKey: keys.publicKey,
    dnsNames: [serverName],
    ipAddresses: [],
    notAfter,
    now,
  });
  const certificates = new CertificateStore({
    ca: sandboxAuthority.certificatePem,
    certificate: leaf.pem,
    key: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  });

  const bootstrapToken = randomBytes(24).toString("base64url");
  const tokens = new Set<string>();
  const issued: string[] = [];
  const calls: Record<string, number> = {};
  let idle: Duration | undefined;
  const log: Buffer[] = [];
  const mainExit = Promise.withResolvers<ProcessExit>();
  const execs = new Map<string, ExecRelay>();
  const sessions: FakeSession[] = [];
  const sessionWaiters: (() => void)[] = [];
  const callWaiters: (() => void)[] = [];
  let enrolledKey: Uint8Array | undefined;
  let lastRejoin = 0n;
  let servers: GrpcServer[] = [];

  const plane: FakeControlPlane = {
    serviceCa: serviceAuthority.certificatePem,
    serverName,
    bootstrapToken,
    calls,
    get idle() {
      return idle;
    },
    issued,
    lifeMs: 15 * 60_000,
    broken: undefined,
    audiences: [],
    providerEnvironment: {},
    mainExit: mainExit.promise,
    until: async (condition) => {
      while (!condition()) await new Promise<void>((resolve) => callWaiters.push(resolve));
    },
    log: () => Buffer.concat(log).toString("utf8"),
    open: async (directory) => {
      const services = [
        { service: AuthService, handlers: withRest(AuthService, authHandlers) },
        { service: SandboxService, handlers: withRest(SandboxService, sandboxHandlers) },
        { service: PolicyService, handlers: withRest(PolicyService, policyHandlers) },
      ];
      const common = { services, certificates, newCallId: () => randomBytes(8).toString("hex") };
      const enrol = createGrpcServer({ ...common, listener: Listener.ENROL, steps: [count], mutualTls: false });
      const control = createGrpcServer({
        ...common,
        listener: Listener.CONTROL,
        steps: [count, requireToken],
        mutualTls: true,
      });
      servers = [enrol, control];
      await enrol.bind(`unix:${join(directory, "enrol.sock")}`);
      await control.bind(`unix:${join(directory, "control.sock")}`);
    },
    close: async () => {
      await Promise.all(servers.map((server) => server.stop(0)));
      servers = [];
    },
    session: async () => sessions.at(-1) ?? (await nextSession(0)),
    sessionAfter: (session) => nextSession(sessions.indexOf(session) + 1),
    exec: (session, start) => open(session, { start }),
    call: (session, operation) => open(session, operation === undefined ? {} : { operation }),
  };

  const open = (session: FakeSession, what: MessageInitShape<typeof OpenExecSchema>): ExecRelay => {
    const execId = randomBytes(8).toString("hex");
    const relay = new ExecRelay();
    execs.set(execId, relay);
    session.send({ case: "openExec", value: { ...what, execId } });
    return relay;
  };
  const nextSession = async (index: number): Promise<FakeSession> => {
    for (;;) {
      const session = sessions[index];
      if (session !== undefined) return session;
      await new Promise<void>((resolve) => sessionWaiters.push(resolve));
    }
  };

  const count = (call: Call): void => {
    const name = call.method.localName;
    calls[name] = (calls[name] ?? 0) + 1;
    for (const wake of callWaiters.splice(0)) wake();
    if (plane.broken === name) throw new ServiceError("UNAVAILABLE", "broken for the test");
  };
  const requireToken = (call: Call): void => {
    const { certificate } = call.connection;
    const names = certificate === undefined ? "" : (new X509Certificate(certificate).subjectAltName ?? "");
    if (!names.includes(`/sandbox/${sandboxId}`)) throw new ServiceError("PEER_NOT_ALLOWED", "not the sandbox");
    if (!tokens.has(call.header("authorization")?.replace(/^Bearer /, "") ?? ""))
      throw new ServiceError("CREDENTIAL_REJECTED", "not a token that was issued");
  };

  const issue = async (leaf: {
    der: Uint8Array;
    notAfter: number;
  }): Promise<MessageInitShape<typeof SandboxCredentialsSchema>> => {
    const token = randomBytes(24).toString("base64url");
    tokens.add(token);
    issued.push(token);
    const expireTime = timestampFromMs(Date.now() + plane.lifeMs);
    return {
      certificateChain: [leaf.der],
      token,
      tokenExpireTime: expireTime,
      certificateExpireTime: timestampFromMs(leaf.notAfter),
    };
  };
  const certify = (publicKeyDer: Uint8Array) =>
    sandboxAuthority.renewSandboxCertificate({
      trustDomain,
      sandboxId,
      publicKeyDer,
      lifeMs: 3_600_000,
      now: Date.now(),
    });

  const authHandlers = {
    issueSandboxToken: async (request: IssueSandboxTokenRequest, call: Call) => {
      if (call.header("authorization") !== `Bearer ${bootstrapToken}` || request.sandboxId !== sandboxId)
        throw new ServiceError("CREDENTIAL_REJECTED", "not the bootstrap token");
      if (enrolledKey !== undefined) throw new ServiceError("BOOTSTRAP_USED", "it was used");
      const leaf = await sandboxAuthority.issueSandboxCertificate({
        trustDomain,
        sandboxId,
        certificateRequest: request.certificateSigningRequest,
        lifeMs: 3_600_000,
        now: Date.now(),
      });
      enrolledKey = leaf.publicKeyDer;
      return { credentials: await issue(leaf) };
    },
    refreshSandboxToken: async (_request: unknown, call: Call) => {
      if (enrolledKey === undefined) throw new ServiceError("CREDENTIAL_REJECTED", "not enrolled");
      tokens.delete(call.header("authorization")?.replace(/^Bearer /, "") ?? "");
      return { credentials: await issue(await certify(enrolledKey)) };
    },
    rejoinSandbox: async function* (
      requests: AsyncIterable<RejoinSandboxRequest>,
    ): AsyncGenerator<MessageInitShape<typeof RejoinSandboxResponseSchema>> {
      const challenge = randomBytes(32);
      for await (const { step, rejoinCount } of requests) {
        if (step.case === "sandboxId") yield { step: { case: "challenge", value: challenge } };
        if (step.case !== "proof" || enrolledKey === undefined) continue;
        const key = createPublicKey({ key: Buffer.from(enrolledKey), format: "der", type: "spki" });
        const message = Buffer.concat([Buffer.from(`sandgate rejoin\n${sandboxId}\n`), challenge]);
        const good = verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, step.value);
        if (!good || rejoinCount <= lastRejoin) throw new ServiceError("PROOF_REJECTED", "not the enrolled key");
        lastRejoin = rejoinCount;
        yield { step: { case: "credentials", value: await issue(await certify(enrolledKey)) } };
        return;
      }
    },
    issueEgressToken: async () => {
      const token = `egress-${randomBytes(6).toString("hex")}`;
      issued.push(token);
      return { token, expireTime: timestampFromMs(Date.now() + plane.lifeMs) };
    },
    exchangeToken: async ({ audience, permit }: ExchangeTokenRequest) => {
      if (permit !== `permit for ${audience}`) throw new ServiceError("EXCHANGE_PERMIT_REJECTED", "not the permit");
      return { token: `workload-token-for-${audience}`, expireTime: timestampFromMs(Date.now() + plane.lifeMs) };
    },
  };

  const policyHandlers = {
    permitTokenExchange: async ({ audience }: PermitTokenExchangeRequest) => {
      if (!plane.audiences.includes(audience)) throw new ServiceError("AUDIENCE_NOT_GRANTED", "not granted");
      return { permit: `permit for ${audience}` };
    },
    getSandboxProviderEnvironment: async () => ({ environment: plane.providerEnvironment }),
  };

  const sandboxHandlers = {
    connectSupervisor: async function* (requests: AsyncIterable<ConnectSupervisorRequest>, call: Call) {
      const commands = new Mailbox<MessageInitShape<typeof ConnectSupervisorResponseSchema>>();
      call.signal.addEventListener("abort", () => commands.end());
      const confinement = Promise.withResolvers<ConfinementReport>();
      const read = async (): Promise<void> => {
        for await (const { message } of requests) {
          if (message.case === "confinement") confinement.resolve(message.value);
          if (message.case === "pong") {
            calls.pong = (calls.pong ?? 0) + 1;
            idle = message.value.idle;
          }
          if (message.case !== "hello") continue;
          sessions.push({
            incarnation: message.value.incarnation,
            confinement: confinement.promise,
            send: (command) => commands.push(command === undefined ? {} : { command }),
            end: () => commands.end(),
          });
          const providers = Object.keys(plane.providerEnvironment);
          commands.push({ command: { case: "workloadGrants", value: { audiences: [], providers } } });
          for (const wake of sessionWaiters.splice(0)) wake();
        }
        commands.end();
      };
      read().catch(() => commands.end());
      yield* commands;
    },
    relayExec: async function* (requests: AsyncIterable<RelayExecRequest>, call: Call) {
      let relay: ExecRelay | undefined;
      const found = Promise.withResolvers<ExecRelay>();
      const read = async (): Promise<void> => {
        for await (const message of requests) {
          relay ??= execs.get(message.execId);
          if (relay !== undefined) found.resolve(relay);
          if (message.output !== undefined || message.answer.case !== undefined) await relay?.deliver(message);
        }
        relay?.end();
      };
      read().catch(() => relay?.end());
      call.signal.addEventListener("abort", () => relay?.end());
      yield* (await found.promise).inputs;
    },
    pushSandboxLogs: async (requests: AsyncIterable<PushSandboxLogsRequest>) => {
      for await (const { offset, data } of requests) {
        const stored = log.reduce((sum, piece) => sum + piece.length, 0);
        if (Number(offset) > stored) throw new ServiceError("REQUEST_INVALID", "there is a gap");
        log.push(Buffer.from(data.subarray(stored - Number(offset))));
        for (const wake of callWaiters.splice(0)) wake();
      }
      return { storedOffset: BigInt(log.reduce((sum, piece) => sum + piece.length, 0)) };
    },
    reportProcessExit: async ({ exit }: ReportProcessExitRequest) => {
      if (exit !== undefined) mainExit.resolve(exit);
      return {};
    },
  };
  return plane;
}

/** Messages from a test to a stream, or from a stream to a test. */
class Mailbox<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #ended = false;
  #wake: () => void = () => {};

  push(item: T): void {
    this.#items.push(item);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) yield item;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

/** Hands on one piece of output at a time, so that a test that does not read is a caller who does not read. */
class ExecRelay implements FakeExec, FakeCall {
  readonly inputs = new Mailbox<MessageInitShape<typeof RelayExecResponseSchema>>();
  readonly #messages = new Mailbox<RelayExecRequest>();
  #taken: () => void = () => {};

  get outputs(): AsyncIterable<ExecOutput> {
    return this.#each(({ output }) => output);
  }

  get answers(): AsyncIterable<RelayExecRequest["answer"]> {
    return this.#each(({ answer }) => answer);
  }

  async *#each<T>(read: (message: RelayExecRequest) => T | undefined): AsyncGenerator<T> {
    for await (const message of this.#messages) {
      this.#taken();
      const value = read(message);
      if (value !== undefined) yield value;
    }
  }

  deliver(message: RelayExecRequest): Promise<void> {
    return new Promise((resolve) => {
      this.#taken = resolve;
      this.#messages.push(message);
    });
  }

  end(): void {
    this.#messages.end();
    this.inputs.end();
  }

  input(input: MessageInitShape<typeof ExecInputSchema>["input"]): void {
    this.inputs.push({ input: input === undefined ? {} : { input } });
  }

  say(message: MessageInitShape<typeof RelayExecResponseSchema>["message"]): void {
    this.inputs.push(message === undefined ? {} : { message });
  }

  abandon(): void {
    this.end();
  }

  async collect(): Promise<{
    stdout: string;
    stderr: string;
    exit: ProcessExit | undefined;
    startFault: string | undefined;
  }> {
    const texts = { stdout: "", stderr: "" };
    let exit: ProcessExit | undefined;
    let startFault: string | undefined;
    for await (const { output } of this.outputs) {
      if (output.case === "stdout" || output.case === "stderr")
        texts[output.case] += Buffer.from(output.value).toString("utf8");
      if (output.case === "exit") exit = output.value;
      if (output.case === "startFault") startFault = output.value;
    }
    return { ...texts, exit, startFault };
  }
}

/** Handlers for every method; those that a test has no use for refuse. */
function withRest(
  service: typeof AuthService | typeof SandboxService | typeof PolicyService,
  handlers: Readonly<Record<string, unknown>>,
): Record<string, (request: unknown, call: Call) => unknown> {
  const refuse = (): never => {
    throw new ServiceError("METHOD_NOT_FOUND", "not part of the fake");
  };
  return Object.fromEntries(
    service.methods.map(({ localName }) => [
      localName,
      (handlers[localName] as ((request: unknown, call: Call) => unknown) | undefined) ?? refuse, // paired by name, as `implement` pairs them by type
    ]),
  );
}
