import { create, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Listener, Role } from "@sandgate/api/options";
import {
  ConnectSupervisorRequestSchema,
  type ConnectSupervisorResponse,
  type CreateSandboxRequestSchema,
  Phase,
  type Sandbox,
  SandboxService,
} from "@sandgate/api/sandbox";
import { grantSandboxScope, peerKey, principalKey, sandboxFieldOf } from "@sandgate/identity";
import {
  type Call,
  type CallOptions,
  type Channel,
  type Client,
  createClient,
  createInProcessChannel,
  Pipeline,
  ServiceError,
} from "@sandgate/rpc";
import { createLogger } from "@sandgate/telemetry";
import { createSandboxModule, type SandboxModule, type SandboxModuleDeps } from "./module.ts";
import type { ScriptedWorld } from "./scripted-world.fixture.ts";
import { PostgresTemplateStore } from "./store/postgres-template-store.ts";
import type { SandboxDatabase } from "./store/sandbox-database.fixture.ts";

/** The organization of every user in these tests, unless one says otherwise. */
const organizationId = "0d9a0000-0000-4000-8000-000000000001";
const userId = "0d9a0000-0000-4000-8000-00000000000a";

/** One run of the Sandbox service on a database and a scripted world. */
export interface RunningService {
  readonly module: SandboxModule;
  asUser(organization?: string): Client<typeof SandboxService>;
  asSandbox(sandboxId: string, incarnation?: bigint): Client<typeof SandboxService>;
  /** Creates a sandbox and answers its id. */
  create(request?: Omit<MessageInitShape<typeof CreateSandboxRequestSchema>, "$typeName">): Promise<string>;
  /** Waits until the sandbox is in a phase; answers it. */
  reach(sandboxId: string, phase: Phase): Promise<Sandbox>;
  stop(): Promise<void>;
}

/** Starts one. Callers say who they are by a header; scopes come from the rows. */
export async function startSandboxService(
  database: SandboxDatabase,
  world: ScriptedWorld,
  options: { readonly deps?: Partial<SandboxModuleDeps>; readonly onLog?: (line: string) => void } = {},
): Promise<RunningService> {
  const store = database.createStore();
  const module = createSandboxModule({
    store,
    templates: new PostgresTemplateStore({ pool: database.pool, audit: database.audit }),
    pool: database.pool,
    connection: database.connection,
    audit: database.audit,
    auth: world.auth,
    policy: world.policy,
    subjects: world.subjects,
    trust: world.trust,
    driver: world.driver,
    sockets: world.sockets,
    logger: createLogger({ service: "sandbox", level: "debug", destination: { write: options.onLog ?? (() => {}) } }),
    trustDomain: "sandgate.local",
    clock: Date.now,
    newId: () => crypto.randomUUID(),
    sweepIntervalMs: 5_000,
    ...options.deps,
    timing: { graceMs: 0, ...options.deps?.timing },
  });
  const pipeline = new Pipeline({
    listener: Listener.MTLS,
    services: module.services,
    steps: [(call) => identify(call, database)],
  });
  const channel = createInProcessChannel({
    pipeline: () => pipeline,
    peer: "spiffe://sandgate.local/service/test",
    newCallId: () => crypto.randomUUID(),
  });
  const as = (caller: string) => createClient(SandboxService, withHeader(channel, caller));
  const asUser = (organization = organizationId) => as(`user ${organization}`);
  await module.start();

  return {
    module,
    asUser,
    asSandbox: (sandboxId, incarnation = 1n) => as(`sandbox ${sandboxId} ${incarnation}`),
    async create(request = {}) {
      const { sandbox } = await asUser().createSandbox({ requestId: crypto.randomUUID(), ...request });
      return sandbox?.id ?? "";
    },
    async reach(sandboxId, phase) {
      for await (const { sandbox } of asUser().watchSandbox({ sandbox: sandboxId }))
        if (sandbox?.phase === phase) return sandbox;
      throw new Error(`the sandbox never was ${Phase[phase]}`);
    },
    async stop() {
      await module.stop();
      await store.close();
    },
  };
}

function withHeader(channel: Channel, caller: string): Channel {
  const mark = (options: CallOptions): CallOptions => ({ ...options, headers: { "test-caller": caller } });
  return {
    unary: (method, request, options) => channel.unary(method, request, mark(options)),
    serverStream: (method, request, options) => channel.serverStream(method, request, mark(options)),
    clientStream: (method, requests, options) => channel.clientStream(method, requests, mark(options)),
    bidiStream: (method, requests, options) => channel.bidiStream(method, requests, mark(options)),
    close: () => channel.close(),
  };
}

async function identify(call: Call, database: SandboxDatabase): Promise<void> {
  const [kind, id = "", incarnation = "1"] = call.header("test-caller")?.split(" ") ?? [];
  const field = sandboxFieldOf(call.method);
  const named = field === undefined ? "" : String((call.request as Message & Record<string, unknown>)[field.localName]);
  const { rows } = await database.pool.query<{ id: string; organization_id: string }>(
    "select id, organization_id from sandboxes where id = $1 or (name = $1 and phase <> 'DELETED')",
    [named],
  );
  const found = rows[0];
  if (kind === "user") {
    const user = {
      kind,
      userId,
      organizationId: id,
      role: Role.ADMIN,
      spiffeId: `spiffe://sandgate.local/user/${userId}`,
    };
    call.set(principalKey, { ...user, kind: "user", authenticator: "test" });
    call.set(peerKey, { kind: "none" });
  } else {
    const spiffeId = `spiffe://sandgate.local/sandbox/${id}`;
    const facts = { sandboxId: id, incarnation: BigInt(incarnation), spiffeId };
    call.set(peerKey, { ...facts, kind: "sandbox", keyThumbprint: "" });
    call.set(principalKey, {
      ...facts,
      kind: "sandbox",
      organizationId: found?.organization_id ?? "",
      credential: "session",
      tokenId: "",
      keyId: "",
      authenticator: "test",
    });
  }
  if (field === undefined) return;
  if (found === undefined || (kind === "user" && found.organization_id !== id))
    throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
  grantSandboxScope(call, { sandboxId: found.id, organizationId: found.organization_id });
}

/** A stream of messages that a test pushes into. */
export class Outgoing<T> implements AsyncIterable<T> {
  readonly #queue: T[] = [];
  #ended = false;
  #rest: AsyncIterable<T> | undefined;
  #wake: () => void = () => {};

  push(...messages: T[]): void {
    this.#queue.push(...messages);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** After what was pushed, these are sent as fast as they are taken. */
  follow(messages: AsyncIterable<T>): void {
    this.#rest = messages;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const message = this.#queue.shift();
      if (message !== undefined) yield message;
      else if (this.#rest !== undefined) {
        yield* this.#rest;
        return;
      } else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

/** A stream that has begun: a call begins when its first message is asked for. */
export function begin<T>(stream: AsyncIterable<T>): { next(): Promise<IteratorResult<T>> } {
  const messages = stream[Symbol.asyncIterator]();
  let first: Promise<IteratorResult<T>> | undefined = messages.next();
  first.catch(() => {}); // whoever asks for it is told
  return {
    next() {
      const next = first ?? messages.next();
      first = undefined;
      next.catch(() => {}); // a test may leave a stream that is cut at its end
      return next;
    },
  };
}

/** A supervisor's control stream, played by a test. */
export interface PlayedSupervisor {
  readonly outgoing: Outgoing<MessageInitShape<typeof ConnectSupervisorRequestSchema>>;
  /** Reads commands until one of this kind comes, and answers pings. */
  nextCommand<K extends ConnectSupervisorResponse["command"]["case"]>(
    kind: K,
  ): Promise<Extract<ConnectSupervisorResponse["command"], { case: K }>>;
  disconnect(): void;
}

/** Connects a supervisor that says hello and, unless told otherwise, that its confinement holds. */
export function connectSupervisor(
  service: RunningService,
  sandboxId: string,
  options: {
    readonly incarnation?: bigint;
    readonly confined?: boolean | "unreported";
    readonly idleMs?: () => number;
  } = {},
): PlayedSupervisor {
  const outgoing = new Outgoing<MessageInitShape<typeof ConnectSupervisorRequestSchema>>();
  const leaving = new AbortController();
  const { incarnation = 1n, confined = true, idleMs = () => 0 } = options;
  const say = (message: MessageInitShape<typeof ConnectSupervisorRequestSchema>["message"]) =>
    outgoing.push(create(ConnectSupervisorRequestSchema, { sandboxId, ...(message !== undefined && { message }) }));
  say({ case: "hello", value: { incarnation, version: "test", idle: durationFromMs(idleMs()) } });
  if (confined !== "unreported") say({ case: "confinement", value: { checks: [{ name: "network", confined }] } });
  const commands = begin(
    service.asSandbox(sandboxId, incarnation).connectSupervisor(outgoing, { signal: leaving.signal }),
  );
  return {
    outgoing,
    async nextCommand(kind) {
      for (;;) {
        const { done, value } = await commands.next();
        if (done === true) throw new Error("the stream has ended");
        if (value.command.case === kind)
          return value.command as Extract<ConnectSupervisorResponse["command"], { case: typeof kind }>; // compared above
        if (value.command.case === "ping") say({ case: "pong", value: { idle: durationFromMs(idleMs()) } });
      }
    },
    disconnect() {
      leaving.abort();
      outgoing.end();
    },
  };
}
