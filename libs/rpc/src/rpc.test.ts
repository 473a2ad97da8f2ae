import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { AuthService } from "@sandgate/api/auth";
import { Health } from "@sandgate/api/grpc/health";
import { ServerReflection } from "@sandgate/api/grpc/reflection";
import { Listener } from "@sandgate/api/options";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Call,
  type CallOutcome,
  CertificateStore,
  type Channel,
  createClient,
  createGrpcChannel,
  createGrpcServer,
  createHttp2Channel,
  createInProcessChannel,
  createWebServer,
  type GrpcServer,
  type Handlers,
  healthService,
  implement,
  Pipeline,
  reflectionService,
  ServiceError,
  type ServiceImplementation,
  type Step,
} from "./index.ts";
import { createWebChannel, type WebProtocol } from "./web/connect-channel.fixture.ts";

const hour = 3_600_000;

async function makePki() {
  const files = await createCertificateAuthority({ commonName: "test", notAfter: Date.now() + 24 * hour });
  const authority = await loadCertificateAuthority(files);
  const issue = async (service: string, notAfter = Date.now() + hour) => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const leaf = await authority.issueServiceCertificate({
      trustDomain: "sandgate.test",
      service,
      publicKey,
      dnsNames: [`${service}.sandgate.test`],
      ipAddresses: ["127.0.0.1"],
      notAfter,
      now: Date.now(),
    });
    return {
      ca: files.certificatePem,
      certificate: leaf.pem,
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  };
  return { caPem: files.certificatePem, issue };
}

/** Handlers for the methods that the tests call; every other one refuses. */
function service<S extends typeof SandboxService | typeof AuthService>(
  desc: S,
  handlers: Partial<Handlers<S>>,
): ServiceImplementation {
  const refuse = () => {
    throw new ServiceError("UNAVAILABLE", "not part of this test");
  };
  return implement(
    desc,
    Object.fromEntries(
      desc.methods.map((method) => [
        method.localName,
        (handlers as Record<string, unknown>)[method.localName] ?? refuse,
      ]),
    ) as Handlers<S>,
  );
}

interface Bench {
  readonly outcomes: CallOutcome[];
  readonly steps: Step[];
  seen: Call | undefined;
  channel: Channel;
  stop(): Promise<void>;
}

let pki: Awaited<ReturnType<typeof makePki>>;
let directory: string;

beforeAll(async () => {
  pki = await makePki();
  directory = mkdtempSync(join(tmpdir(), "sg-rpc-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const sandboxHandlers = (bench: { seen: Call | undefined }): Partial<Handlers<typeof SandboxService>> => ({
  getSandbox: async (request, call) => {
    bench.seen = call;
    switch (request.sandbox) {
      case "boom":
        throw new Error("a secret of the inside");
      case "sync":
        return { sandbox: { name: request.sandbox } };
      case "missing":
        throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: "sbx-1" });
      case "hang":
        return new Promise((_resolve, reject) => {
          call.signal.addEventListener("abort", () => reject(new Error("ended")));
        });
      default:
        return { sandbox: { name: request.sandbox, id: call.header("x-id") ?? "" } };
    }
  },
  watchSandbox: async function* (request, call) {
    bench.seen = call;
    for (let count = 0; count < 5; count++) yield { sandbox: { name: `${request.sandbox}-${count}` } };
    if (request.sandbox === "fails") throw new ServiceError("SANDBOX_NOT_READY", "not ready");
  },
  pushSandboxLogs: async (requests) => {
    let bytes = 0n;
    for await (const request of requests) bytes += BigInt(request.data.byteLength);
    return { storedOffset: bytes };
  },
  execSandbox: async function* (requests, call) {
    bench.seen = call;
    for await (const request of requests)
      if (request.message.case === "input" && request.message.value.input.case === "stdin")
        yield { output: { output: { case: "stdout", value: request.message.value.input.value } } };
  },
});

async function overMutualTls(steps: Step[]): Promise<Bench> {
  const outcomes: CallOutcome[] = [];
  const bench = { seen: undefined as Call | undefined };
  const server = createGrpcServer({
    listener: Listener.MTLS,
    services: [service(SandboxService, sandboxHandlers(bench)), service(AuthService, {})],
    openServices: [
      healthService({ services: [SandboxService], isServing: () => true }),
      reflectionService([SandboxService]),
    ],
    steps,
    certificates: new CertificateStore(await pki.issue("sandbox")),
    mutualTls: true,
    newCallId: () => "call-1",
    observe: (outcome) => outcomes.push(outcome),
  });
  const address = await server.bind("127.0.0.1:0");
  const channel = createGrpcChannel({
    address,
    serverName: "sandbox.sandgate.test",
    certificates: new CertificateStore(await pki.issue("policy")),
    headers: () => ({ "x-id": "from-channel" }),
  });
  return Object.assign(bench, {
    outcomes,
    steps,
    channel,
    stop: async () => {
      channel.close();
      await server.stop(100);
    },
  });
}

async function inProcess(steps: Step[]): Promise<Bench> {
  const outcomes: CallOutcome[] = [];
  const bench = { seen: undefined as Call | undefined };
  const pipeline = new Pipeline({
    listener: Listener.MTLS,
    services: [service(SandboxService, sandboxHandlers(bench)), service(AuthService, {})],
    openServices: [
      healthService({ services: [SandboxService], isServing: () => true }),
      reflectionService([SandboxService]),
    ],
    steps,
    observe: (outcome) => outcomes.push(outcome),
  });
  const channel = createInProcessChannel({
    pipeline: () => pipeline,
    peer: "spiffe://sandgate.test/service/policy",
    newCallId: () => "call-1",
  });
  const withHeader: Channel = {
    ...channel,
    unary: (method, request, options) =>
      channel.unary(method, request, { ...options, headers: { "x-id": "from-channel", ...options.headers } }),
  };
  return Object.assign(bench, { outcomes, steps, channel: withHeader, stop: async () => {} });
}

const overWeb =
  (protocol: WebProtocol) =>
  async (steps: Step[]): Promise<Bench> => {
    const outcomes: CallOutcome[] = [];
    const bench = { seen: undefined as Call | undefined };
    const pipeline = new Pipeline({
      listener: Listener.MTLS,
      services: [service(SandboxService, sandboxHandlers(bench)), service(AuthService, {})],
      openServices: [
        healthService({ services: [SandboxService], isServing: () => true }),
        reflectionService([SandboxService]),
      ],
      steps,
      observe: (outcome) => outcomes.push(outcome),
    });
    const server = createWebServer({
      pipeline,
      certificates: new CertificateStore(await pki.issue("sandbox")),
      allowedOrigins: [],
      isServing: () => true,
      newCallId: () => "call-1",
      onFault: (fault) => {
        throw fault;
      },
    });
    const channel = createWebChannel({
      protocol,
      address: await server.bind("127.0.0.1:0"),
      serverName: "sandbox.sandgate.test",
      ca: pki.caPem,
      headers: { "x-id": "from-channel" },
    });
    return Object.assign(bench, { outcomes, steps, channel, stop: () => server.stop(100) });
  };

async function* each<T>(...values: T[]): AsyncGenerator<T> {
  yield* values;
}

const failureOf = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => {
      throw new Error("the call was let through");
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(ServiceError);
      return error as ServiceError;
    },
  );

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe.each([
  { transport: "mutual TLS", start: overMutualTls },
  { transport: "one process", start: inProcess },
  { transport: "JSON and HTTP/2", start: overWeb("JSON over HTTP/2") },
  { transport: "gRPC-Web and HTTP/2", start: overWeb("gRPC-Web over HTTP/2") },
])("calls over $transport", ({ start }) => {
  let bench: Bench;
  const steps: Step[] = [];
  beforeAll(async () => {
    bench = await start([
      (call) => steps.reduce<Promise<void>>((before, step) => before.then(() => step(call)), Promise.resolve()),
    ]);
  });
  afterAll(() => bench.stop());
  const client = () => createClient(SandboxService, bench.channel);

  it("answers a unary call and hands the handler its headers", async () => {
    expect((await client().getSandbox({ sandbox: "one" })).sandbox).toMatchObject({ name: "one", id: "from-channel" });
  });

  it("streams responses in order", async () => {
    const names = (await collect(client().watchSandbox({ sandbox: "a" }))).map(({ sandbox }) => sandbox?.name);
    expect(names).toEqual(["a-0", "a-1", "a-2", "a-3", "a-4"]);
  });

  it("takes a stream of requests", async () => {
    const requests = each({ data: new Uint8Array(3) }, { data: new Uint8Array(4) });
    expect((await client().pushSandboxLogs(requests)).storedOffset).toBe(7n);
  });

  it("streams both ways, each answer before the next question", async () => {
    const echoed: number[] = [];
    let release = (): void => {};
    const requests = (async function* () {
      for (let index = 0; index < 3; index++) {
        const answered = new Promise<void>((resolve) => {
          release = resolve;
        });
        yield {
          message: { case: "input", value: { input: { case: "stdin", value: new Uint8Array([index]) } } },
        } as const;
        await answered;
      }
    })();
    for await (const { output } of client().execSandbox(requests)) {
      if (output?.output.case === "stdout") echoed.push(output.output.value[0] ?? -1);
      release();
    }
    expect(echoed).toEqual([0, 1, 2]);
  });

  it("passes reason, message and metadata of an error, and nothing of its cause", async () => {
    const error = await failureOf(client().getSandbox({ sandbox: "missing" }));
    expect([error.reason, error.message, error.metadata]).toEqual([
      "SANDBOX_NOT_FOUND",
      "no such sandbox",
      { sandbox_id: "sbx-1" },
    ]);
  });

  it("turns an unknown fault into INTERNAL with the call's id alone, and gives its cause to the observer", async () => {
    const error = await failureOf(client().getSandbox({ sandbox: "boom" }));
    expect([error.reason, error.metadata]).toEqual(["INTERNAL", { call_id: "call-1" }]);
    expect(JSON.stringify(error)).not.toContain("secret");
    expect(bench.outcomes.at(-1)).toMatchObject({ outcome: "INTERNAL", cause: { message: "a secret of the inside" } });
  });

  it("delivers what a stream yielded before its error", async () => {
    const seen: string[] = [];
    const error = await failureOf(
      (async () => {
        for await (const { sandbox } of client().watchSandbox({ sandbox: "fails" })) seen.push(sandbox?.name ?? "");
      })(),
    );
    expect([seen.length, error.reason]).toEqual([5, "SANDBOX_NOT_READY"]);
  });

  it("tells the handler that the caller has cancelled", async () => {
    const controller = new AbortController();
    const call = failureOf(client().getSandbox({ sandbox: "hang" }, { signal: controller.signal }));
    await expect.poll(() => bench.seen?.method.name).toBe("GetSandbox");
    controller.abort();
    expect((await call).reason).toBe("CANCELLED");
    await expect.poll(() => bench.seen?.signal.aborted).toBe(true);
  });

  it("ends a call whose deadline passes, for both sides", async () => {
    const error = await failureOf(client().getSandbox({ sandbox: "hang" }, { timeoutMs: 50 }));
    expect(error.reason).toBe("DEADLINE_EXCEEDED");
    await expect.poll(() => bench.seen?.signal.aborted).toBe(true);
  });

  it("refuses what a step refuses, before the handler, for every kind of call", async () => {
    steps.push(() => {
      throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "not you"); // thrown synchronously on purpose
    });
    bench.seen = undefined;
    try {
      const reasons = await Promise.all(
        [
          client().getSandbox({ sandbox: "x" }),
          collect(client().watchSandbox({ sandbox: "x" })),
          client().pushSandboxLogs(each({ data: new Uint8Array(1) })),
          collect(client().execSandbox(each({ sandbox: "x" }))),
        ].map(async (promise) => (await failureOf(promise)).reason),
      );
      expect(reasons).toEqual(Array(4).fill("PRINCIPAL_NOT_ALLOWED"));
      expect(bench.seen).toBeUndefined();
    } finally {
      steps.pop();
    }
  });

  it("G-20: ends a stream at the first later message that a step's check refuses", async () => {
    steps.push((call) =>
      call.checkLaterMessages((message) => {
        if ((message as { sandbox?: string }).sandbox === "other")
          throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
      }),
    );
    try {
      const stdin = { input: { case: "stdin", value: new Uint8Array([1]) } } as const;
      const error = await failureOf(
        collect(
          client().execSandbox(
            each(
              { sandbox: "own", message: { case: "input", value: stdin } as const },
              { sandbox: "other", message: { case: "input", value: stdin } as const },
            ),
          ),
        ),
      );
      expect(error.reason).toBe("SANDBOX_NOT_FOUND");
    } finally {
      steps.pop();
    }
  });

  it("cuts a stream in the middle when a step ends the call, and cleans up once", async () => {
    let cleaned = 0;
    steps.push((call) => call.onDone(() => cleaned++));
    try {
      const requests = (async function* () {
        yield {
          sandbox: "own",
          message: { case: "input", value: { input: { case: "stdin", value: new Uint8Array([1]) } } },
        } as const;
        await new Promise(() => {});
      })();
      const stream = client().execSandbox(requests)[Symbol.asyncIterator]();
      await stream.next();
      bench.seen?.end(new ServiceError("CREDENTIAL_REVOKED", "revoked"));
      expect((await failureOf(Promise.resolve(stream.next()))).reason).toBe("CREDENTIAL_REVOKED");
      expect([cleaned, bench.seen?.signal.aborted]).toEqual([1, true]);
    } finally {
      steps.pop();
    }
  });

  it("has no route for a method that is not declared for the listener", async () => {
    const error = await failureOf(createClient(AuthService, bench.channel).issueSandboxToken({}));
    expect(error.reason).toBe("METHOD_NOT_FOUND");
  });

  it("serves health and reflection", async () => {
    expect((await createClient(Health, bench.channel).check({ service: SandboxService.typeName })).status).toBe(1);
    const asked = each({ messageRequest: { case: "fileContainingSymbol", value: SandboxService.typeName } } as const);
    const [answer] = await collect(createClient(ServerReflection, bench.channel).serverReflectionInfo(asked));
    expect(answer?.messageResponse.case).toBe("fileDescriptorResponse");
  });
});

it.each([
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8::7", "2001:db8::7"],
  ["somebody", ""],
  [undefined, ""],
])("takes a gateway's word for the address of its client, if it is one: %s", async (told, taken) => {
  const connections: Call["connection"][] = [];
  const server = createGrpcServer({
    listener: Listener.EDGE,
    services: [service(SandboxService, { getSandbox: async () => ({}) })],
    steps: [({ connection }) => void connections.push(connection)],
    certificates: new CertificateStore(await pki.issue("sandbox")),
    mutualTls: true,
    relayed: true,
    newCallId: () => "call-1",
  });
  const channel = createGrpcChannel({
    address: await server.bind("127.0.0.1:0"),
    serverName: "sandbox.sandgate.test",
    certificates: new CertificateStore(await pki.issue("gateway")),
  });
  const headers = told === undefined ? {} : { "sandgate-client-address": told };
  await createClient(SandboxService, channel).getSandbox({}, { headers });
  channel.close();
  await server.stop(0);
  expect(connections).toMatchObject([
    { transport: "web", remoteAddress: taken, relay: { remoteAddress: "127.0.0.1" } },
  ]);
  expect(connections[0]?.certificate).toBeUndefined(); // it is the gateway's, not its client's
});

it("G-15 goes on at the next replica when the one in use is lost, and at the first that can be reached", async () => {
  const served: string[] = [];
  const replica = async (name: string) => {
    const server = createGrpcServer({
      listener: Listener.MTLS,
      services: [
        service(SandboxService, {
          getSandbox: async () => {
            served.push(name);
            return {};
          },
        }),
      ],
      steps: [],
      certificates: new CertificateStore(await pki.issue("sandbox")),
      mutualTls: true,
      newCallId: () => "call-1",
    });
    return { address: await server.bind("127.0.0.1:0"), stop: () => server.stop(0) };
  };
  const [gone, first, second] = [await replica("gone"), await replica("first"), await replica("second")];
  await gone.stop();
  const channel = createGrpcChannel({
    address: [gone.address, first.address, second.address],
    serverName: "sandbox.sandgate.test",
    certificates: new CertificateStore(await pki.issue("policy")),
  });
  const client = createClient(SandboxService, channel);
  await client.getSandbox({});
  await first.stop();
  await expect
    .poll(() =>
      client.getSandbox({}).then(
        () => served.at(-1),
        (error: ServiceError) => error.reason,
      ),
    )
    .toBe("second");
  expect(served).toEqual(["first", "second"]);
  channel.close();
  await second.stop();
});

describe("what the transport meets before the pipeline", () => {
  let server: GrpcServer;
  let address: string;
  let plain: GrpcClient;
  const raw = (path: string, request: Buffer, metadata = new Metadata()) =>
    new Promise<{ code: number; described: boolean }>((resolve) => {
      plain.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        metadata,
        {},
        (error) =>
          resolve({
            code: error?.code ?? 0,
            described: (error?.metadata.get("grpc-status-details-bin").length ?? 0) > 0,
          }),
      );
    });

  beforeAll(async () => {
    server = createGrpcServer({
      listener: Listener.MTLS,
      services: [service(SandboxService, { getSandbox: async () => ({}) })],
      steps: [],
      certificates: new CertificateStore(await pki.issue("sandbox")),
      mutualTls: true,
      newCallId: () => "call-1",
    });
    address = await server.bind("127.0.0.1:0");
    const identity = await pki.issue("policy");
    plain = new GrpcClient(
      address,
      credentials.createSsl(Buffer.from(pki.caPem), Buffer.from(identity.key), Buffer.from(identity.certificate)),
      { "grpc.max_send_message_length": -1 },
    );
  });
  afterAll(async () => {
    plain.close();
    await server.stop(100);
  });

  it.each([
    ["a message that is no protobuf", Buffer.from([0xff, 0xff, 0xff]), 3],
    ["a message over the limit", Buffer.alloc(4 * 1024 * 1024 + 1), 8],
    ["a message far over the limit", Buffer.alloc(9 * 1024 * 1024), 8],
  ])("refuses %s with a clear status and an ErrorInfo", async (_what, request, code) => {
    expect(await raw("/sandgate.sandbox.v1.SandboxService/GetSandbox", request)).toEqual({ code, described: true });
  });

  it("refuses a deadline that it cannot read with INVALID_ARGUMENT, never INTERNAL", async () => {
    const metadata = new Metadata();
    metadata.set("grpc-timeout", "soon");
    const outcome = await raw("/sandgate.sandbox.v1.SandboxService/GetSandbox", Buffer.alloc(0), metadata);
    expect(outcome).toEqual({ code: 3, described: true });
  });

  it("refuses a client without a certificate, and one of another authority, in the handshake", async () => {
    const other = await makePki();
    for (const certificates of [
      new CertificateStore({ ca: pki.caPem }),
      new CertificateStore({ ...(await other.issue("policy")), ca: pki.caPem }),
    ]) {
      const channel = createGrpcChannel({ address, serverName: "sandbox.sandgate.test", certificates });
      const error = await failureOf(createClient(SandboxService, channel).getSandbox({}, { timeoutMs: 5_000 }));
      expect(error.reason).toBe("UNAVAILABLE");
      channel.close();
    }
  });

  it("lets the client of few parts tell a certificate that is not taken from a server that is not there", async () => {
    const other = await (await makePki()).issue("policy");
    const tls = () => ({ ca: pki.caPem, cert: other.certificate, key: other.key });
    const options = { serverName: "sandbox.sandgate.test", tls };
    for (const [where, reason] of [
      [address, "CREDENTIAL_REJECTED"],
      [`unix:${join(directory, "nobody.sock")}`, "UNAVAILABLE"],
    ] as const) {
      const channel = createHttp2Channel({ ...options, address: where });
      const client = createClient(SandboxService, channel);
      expect((await failureOf(client.getSandbox({}))).reason).toBe(reason);
      expect(await failureOf(collect(client.watchSandbox({})))).toMatchObject({ reason });
      channel.close();
    }
  });

  it("does not talk to a server whose certificate carries another name", async () => {
    const certificates = new CertificateStore(await pki.issue("policy"));
    const channel = createGrpcChannel({ address, serverName: "auth.sandgate.test", certificates });
    const error = await failureOf(createClient(SandboxService, channel).getSandbox({}, { timeoutMs: 5_000 }));
    expect(error.reason).toBe("UNAVAILABLE");
    channel.close();
  });

  it("gives one connection object to all calls of a connection, with the verified certificate", async () => {
    const seen: Call[] = [];
    const local = createGrpcServer({
      listener: Listener.MTLS,
      services: [service(SandboxService, { getSandbox: async () => ({}) })],
      steps: [(call) => void seen.push(call)],
      certificates: new CertificateStore(await pki.issue("sandbox")),
      mutualTls: true,
      newCallId: () => "call-1",
    });
    const path = join(directory, "s.sock");
    await local.bind(`unix:${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o666);
    const channel = createGrpcChannel({
      address: `unix:${path}`,
      serverName: "sandbox.sandgate.test",
      certificates: new CertificateStore(await pki.issue("policy")),
    });
    const client = createClient(SandboxService, channel);
    await client.getSandbox({});
    await client.getSandbox({});
    expect(seen[0]?.connection).toBe(seen[1]?.connection);
    expect(seen[0]?.connection).toMatchObject({ transport: "unix", certificate: expect.any(Uint8Array) });
    channel.close();
    local.unbind(`unix:${path}`);
    await local.stop(100);
  });

  it("presents a renewed certificate on new connections, and serves with a renewed one", async () => {
    const seen: Call[] = [];
    const serverStore = new CertificateStore(await pki.issue("sandbox"));
    const local = createGrpcServer({
      listener: Listener.MTLS,
      services: [service(SandboxService, { getSandbox: async () => ({}) })],
      steps: [(call) => void seen.push(call)],
      certificates: serverStore,
      mutualTls: true,
      newCallId: () => "call-1",
    });
    const bound = await local.bind("127.0.0.1:0");
    const store = new CertificateStore(await pki.issue("policy"));
    const connect = () =>
      createGrpcChannel({ address: bound, serverName: "sandbox.sandgate.test", certificates: store });
    const first = connect();
    await createClient(SandboxService, first).getSandbox({});
    const before = seen[0]?.connection.certificate;
    store.update(await pki.issue("policy"));
    seen[0]?.connection.drain();
    await expect
      .poll(async () => {
        await createClient(SandboxService, first).getSandbox({});
        return Buffer.from(seen.at(-1)?.connection.certificate ?? []).equals(Buffer.from(before ?? []));
      })
      .toBe(false);
    serverStore.update(await pki.issue("auth"));
    const moved = createGrpcChannel({ address: bound, serverName: "auth.sandgate.test", certificates: store });
    await createClient(SandboxService, moved).getSandbox({});
    first.close();
    moved.close();
    await local.stop(100);
  });

  it("stops within its grace, also while a connection has not got through its handshake", async () => {
    const local = createGrpcServer({
      listener: Listener.MTLS,
      services: [service(SandboxService, { getSandbox: async () => ({}) })],
      steps: [],
      certificates: new CertificateStore(await pki.issue("sandbox")),
      mutualTls: true,
      newCallId: () => "call-1",
    });
    const path = join(directory, "h.sock");
    await local.bind(`unix:${path}`);
    const silent = connect(path);
    await once(silent, "connect");
    await local.stop(100);
    silent.destroy();
  });

  describe("a caller who speaks HTTP/2 himself", () => {
    const frame = (...bytes: number[]) => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);
    let local: GrpcServer;
    let session: ClientHttp2Session;
    const calls: Call[] = [];
    let produced = 0;

    beforeAll(async () => {
      local = createGrpcServer({
        listener: Listener.MTLS,
        services: [
          service(SandboxService, {
            getSandbox: async (_request, call) => ({ sandbox: { name: call.header("authorization") ?? "none" } }),
            listSandboxes: async () => ({}),
            watchSandbox: async function* () {
              for (; produced < 100; produced++) yield { sandbox: { name: "x".repeat(100_000) } };
            },
            pushSandboxLogs: async () => ({ storedOffset: 7n }),
          }),
        ],
        steps: [(call) => void calls.push(call)],
        certificates: new CertificateStore(await pki.issue("sandbox")),
        mutualTls: true,
        newCallId: () => "call-1",
        requestTimeoutMs: 1_000,
      });
      const bound = await local.bind("127.0.0.1:0");
      const { ca, certificate, key } = await pki.issue("policy");
      session = connectHttp2(`https://${bound}`, {
        ...{ ca, cert: certificate, key, servername: "sandbox.sandgate.test" },
        ...{ strictSingleValueFields: false }, // or Node itself refuses to send a header twice
      });
      await once(session, "connect");
    });
    afterAll(async () => {
      session.destroy();
      await local.stop(100);
    });

    /** Opens a call; resolves with its grpc-status once it has ended. */
    const open = (method: string, headers: readonly string[] = []) => {
      const stream = session.request([
        ...[":method", "POST", ":scheme", "https", ":authority", "sandbox.sandgate.test"],
        ...[":path", `/sandgate.sandbox.v1.SandboxService/${method}`, "content-type", "application/grpc"],
        ...["te", "trailers"],
        ...headers,
      ]);
      const outcome = new Promise<number>((resolve, reject) => {
        stream.on(
          "response",
          (fields) => fields["grpc-status"] !== undefined && resolve(Number(fields["grpc-status"])),
        );
        stream.on("trailers", (fields) => resolve(Number(fields["grpc-status"])));
        stream.on("error", reject);
      });
      return { stream, outcome };
    };

    it.each([
      ["once", ["authorization", "Bearer one"], 0],
      ["twice", ["authorization", "Bearer one", "authorization", "Bearer two"], 3],
      ["twice, the same", ["authorization", "Bearer one", "authorization", "Bearer one"], 3],
    ])("sends a credential %s", async (_what, headers, code) => {
      const { stream, outcome } = open("GetSandbox", headers);
      stream.resume();
      stream.end(frame());
      expect(await outcome).toBe(code);
    });

    it("may send twice what nobody reads", async () => {
      const { stream, outcome } = open("ListSandboxes", ["authorization", "a", "authorization", "b", "x-id", "1"]);
      stream.resume();
      stream.end(frame());
      expect(await outcome).toBe(0);
    });

    it.each([
      ["no message", []],
      ["two messages", [frame(), frame()]],
    ])("sends a unary call %s: it is refused before the pipeline", async (_what, frames) => {
      calls.length = 0;
      const { stream, outcome } = open("GetSandbox");
      stream.resume();
      for (const one of frames) stream.write(one);
      stream.end();
      expect([await outcome, calls.length]).toEqual([3, 0]);
    });

    it.each([
      ["no message", "GetSandbox", undefined],
      ["half a message", "GetSandbox", Buffer.from([0, 0, 0, 0, 9, 1])],
      ["a message, and goes on sending", "GetSandbox", frame()],
      ["no first message of a stream", "PushSandboxLogs", undefined],
    ])(
      "sends %s and then nothing: it is refused in time, and nobody is asked who it is",
      async (_what, method, bytes) => {
        calls.length = 0;
        const { stream, outcome } = open(method);
        stream.resume();
        if (bytes !== undefined) stream.write(bytes);
        expect([await outcome, calls.length]).toEqual([4, 0]);
        stream.close();
      },
    );

    it("reads slowly: the handler is not asked for more than is taken", async () => {
      const { stream } = open("WatchSandbox");
      stream.end(frame());
      await once(stream, "response");
      const { stream: other, outcome } = open("ListSandboxes");
      other.resume();
      other.end(frame());
      await outcome; // by then the first one has come as far as it gets
      expect(produced).toBeLessThan(10);
      stream.close();
    });

    it("streams on after the answer: the stream ends all the same", async () => {
      const { stream, outcome } = open("PushSandboxLogs");
      stream.resume();
      stream.write(frame());
      expect(await outcome).toBe(0);
      stream.write(Buffer.concat(Array(50).fill(frame(...Array(200).fill(0)))));
      stream.end();
      await once(stream, "close");
    });
  });

  it("says which address is taken", async () => {
    const second = createGrpcServer({
      listener: Listener.EDGE,
      services: [],
      steps: [],
      certificates: new CertificateStore(await pki.issue("sandbox")),
      mutualTls: false,
      newCallId: () => "call-1",
    });
    await expect(second.bind(address)).rejects.toMatchObject({
      name: "ListenError",
      exitCode: 2,
      message: expect.stringContaining(address),
    });
  });
});
