import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "@sandgate/api/google/rpc/error-details";
import { Listener } from "@sandgate/api/options";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type Call,
  CertificateStore,
  createClient,
  type Handlers,
  implement,
  Pipeline,
  ServiceError,
} from "../index.ts";
import { createWebChannel } from "./connect-channel.fixture.ts";
import { createWebServer, type WebServer, type WebServerLimits } from "./web-server.ts";

const hourMs = 3_600_000;
const name = "web.sandgate.test";
const page = "https://console.example";
const getSandbox = `/${SandboxService.typeName}/GetSandbox`;

let ca: string;
let issue: () => Promise<{ ca: string; certificate: string; key: string }>;
beforeAll(async () => {
  const files = await createCertificateAuthority({ commonName: "test", notAfter: Date.now() + hourMs });
  const authority = await loadCertificateAuthority(files);
  ca = files.certificatePem;
  issue = async () => {
    const { publicKey, privateKey } = (await import("@sandgate/pki")).createKeyPair();
    const leaf = await authority.issueServiceCertificate({
      trustDomain: "sandgate.test",
      service: "web",
      publicKey,
      dnsNames: [name],
      ipAddresses: ["127.0.0.1"],
      notAfter: Date.now() + hourMs,
      now: Date.now(),
    });
    return {
      ca,
      certificate: leaf.pem,
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  };
});

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

interface Bench {
  readonly server: WebServer;
  readonly address: string;
  readonly port: number;
  readonly store: CertificateStore;
  readonly faults: unknown[];
  readonly calls: Call[];
  serving: boolean;
}

/** A server whose GetSandbox answers, waits for the end of the call ("hang"), or echoes a header; WatchSandbox never ends by itself. */
async function start(limits: Partial<WebServerLimits> = {}): Promise<Bench> {
  const calls: Call[] = [];
  const faults: unknown[] = [];
  const state = { serving: true };
  const handlers: Partial<Handlers<typeof SandboxService>> = {
    getSandbox: async ({ sandbox }, call) => {
      calls.push(call);
      if (sandbox === "hang") await untilEnded(call);
      if (sandbox === "missing") throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: "one" });
      const shown = sandbox.startsWith("header ") ? (call.header(sandbox.slice("header ".length)) ?? "none") : sandbox;
      return { sandbox: { name: shown } };
    },
    watchSandbox: async function* ({ sandbox }, call) {
      calls.push(call);
      yield { sandbox: { name: sandbox } };
      await untilEnded(call);
    },
    execSandbox: async function* (requests) {
      for await (const _request of requests) yield {};
    },
  };
  const refuse = () => Promise.reject(new ServiceError("UNAVAILABLE", "not part of this test"));
  const pipeline = new Pipeline({
    listener: Listener.EDGE,
    services: [
      implement(SandboxService, {
        ...Object.fromEntries(SandboxService.methods.map(({ localName }) => [localName, refuse])),
        ...handlers,
      } as unknown as Handlers<typeof SandboxService>),
    ],
    steps: [],
  });
  const store = new CertificateStore(await issue());
  const server = createWebServer({
    pipeline,
    certificates: store,
    allowedOrigins: [page],
    isServing: () => state.serving,
    newCallId: () => "call-1",
    onFault: (fault) => faults.push(fault),
    limits,
  });
  const address = await server.bind("127.0.0.1:0");
  stops.push(() => server.stop(0));
  return Object.assign(state, { server, address, port: Number(address.split(":")[1]), store, faults, calls });
}

const untilEnded = (call: Call): Promise<void> =>
  new Promise((resolve) => call.signal.addEventListener("abort", () => resolve(), { once: true }));

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request over HTTP/1.1. */
function ask(
  bench: Bench,
  path: string,
  options: { method?: string; headers?: Record<string, string | string[]>; body?: string | Uint8Array } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "POST", headers = {}, body } = options;
    const asking = httpsRequest(
      { host: "127.0.0.1", port: bench.port, servername: name, ca, path, method, agent: false, headers },
      (response) => {
        text(response).then(
          (said) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: said }),
          reject,
        );
      },
    );
    asking.on("error", reject);
    asking.end(body);
  });
}

const json = { "content-type": "application/json" };
const post = (bench: Bench, body: string, headers: Record<string, string | string[]> = {}): Promise<Answer> =>
  ask(bench, getSandbox, { headers: { ...json, ...headers }, body });

/** The ErrorInfo of an answer in JSON, from the bytes that clients read and not from what is there for people. */
function errorInfo({ body }: Answer): { code: string; reason: string; metadata: Record<string, string> } {
  const { code, details } = JSON.parse(body);
  expect(details).toHaveLength(1);
  expect(details[0].type).toBe("google.rpc.ErrorInfo");
  const { reason, domain, metadata } = fromBinary(ErrorInfoSchema, Buffer.from(details[0].value, "base64"));
  expect(domain).toBe("sandgate.dev");
  expect(details[0].debug).toMatchObject({ reason });
  return { code, reason, metadata };
}

/** A TLS connection over which the test writes HTTP/1.1 itself. */
async function dial(bench: Bench): Promise<TLSSocket> {
  const socket = connectTls({ host: "127.0.0.1", port: bench.port, servername: name, ca, ALPNProtocols: ["http/1.1"] });
  stops.push(() => void socket.destroy());
  await once(socket, "secureConnect");
  socket.on("error", () => {}).resume(); // some tests are about being cut
  return socket;
}

describe("requests in JSON over HTTP/1.1", () => {
  it("are answered in JSON", async () => {
    const bench = await start();
    const answer = await post(bench, '{"sandbox":"one"}');
    expect([answer.status, JSON.parse(answer.body)]).toEqual([200, { sandbox: { name: "one" } }]);
    expect(answer.headers).toMatchObject({
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
  });

  it("tell the pipeline the caller's address, and that a browser may be behind them", async () => {
    const bench = await start();
    await post(bench, "{}");
    expect(bench.calls[0]?.connection).toMatchObject({ transport: "web", remoteAddress: "127.0.0.1" });
    expect(bench.calls[0]?.connection.certificate).toBeUndefined();
  });

  it("get the reason and the metadata of a refusal, with the status of its code", async () => {
    const bench = await start();
    const answer = await post(bench, '{"sandbox":"missing"}');
    expect(answer.status).toBe(404);
    expect(errorInfo(answer)).toEqual({
      code: "not_found",
      reason: "SANDBOX_NOT_FOUND",
      metadata: { sandbox_id: "one" },
    });
  });

  it.each([
    ["JSON that is none", getSandbox, json, "{", 400, "REQUEST_MALFORMED"],
    ["a field that there is not", getSandbox, json, '{"sandbxo":"one"}', 400, "REQUEST_MALFORMED"],
    ["a number for a text", getSandbox, json, '{"sandbox":1}', 400, "REQUEST_MALFORMED"],
    ["JSON that is deeper than a stack", getSandbox, json, "[".repeat(1_000_000), 400, "REQUEST_MALFORMED"],
    [
      "protobuf that is none",
      getSandbox,
      { "content-type": "application/proto" },
      "\x0a\x7f",
      400,
      "REQUEST_MALFORMED",
    ],
    ["a body of a web form", getSandbox, { "content-type": "text/plain" }, "{}", 415, "REQUEST_MALFORMED"],
    [
      "gRPC itself, which the edge listener speaks",
      getSandbox,
      { "content-type": "application/grpc" },
      "",
      415,
      "REQUEST_MALFORMED",
    ],
    ["a compressed message", getSandbox, { ...json, "content-encoding": "gzip" }, "{}", 400, "REQUEST_MALFORMED"],
    ["a timeout that is none", getSandbox, { ...json, "connect-timeout-ms": "soon" }, "{}", 400, "REQUEST_MALFORMED"],
    ["more than 4 MiB", getSandbox, json, `{"sandbox":"${"x".repeat(4 * 1024 * 1024)}"}`, 429, "REQUEST_TOO_LARGE"],
    ["a method of no service", "/sandgate.sandbox.v1.SandboxService/Nothing", json, "{}", 404, "METHOD_NOT_FOUND"],
    [
      "a method that the edge does not have",
      "/sandgate.sandbox.v1.SandboxService/ConnectSupervisor",
      json,
      "{}",
      404,
      "METHOD_NOT_FOUND",
    ],
    ["the root", "/", json, "{}", 404, "METHOD_NOT_FOUND"],
    ["a path with a way around", `/x/..${getSandbox}`, json, "{}", 404, "METHOD_NOT_FOUND"],
    [
      "a stream both ways",
      "/sandgate.sandbox.v1.SandboxService/ExecSandbox",
      { "content-type": "application/connect+json" },
      "",
      505,
      "REQUEST_MALFORMED",
    ],
  ])("are refused with a reason for %s", async (_what, path, headers, body, status, reason) => {
    const bench = await start();
    const answer = await ask(bench, path, { headers, body });
    expect([answer.status, errorInfo(answer).reason]).toEqual([status, reason]);
    expect(bench.calls).toEqual([]);
    expect(bench.faults).toEqual([]);
  });

  it("are told which field there is not", async () => {
    const answer = await post(await start(), '{"sandbxo":"one"}');
    expect(errorInfo(answer).metadata["fault"]).toContain('key "sandbxo" is unknown');
  });

  it("are refused when they are not POST", async () => {
    const bench = await start();
    for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
      const answer = await ask(bench, `${getSandbox}?encoding=json&message={}`, { method });
      expect([method, answer.status]).toEqual([method, 405]);
    }
    expect(bench.calls).toEqual([]);
  });

  it.each([
    ["without a host", `POST ${getSandbox} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`],
    [
      "with a host that there cannot be",
      `POST ${getSandbox} HTTP/1.1\r\nhost: [\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    ],
  ])("do no harm %s", async (_what, request) => {
    const bench = await start();
    const socket = await dial(bench);
    const answered = text(socket);
    socket.end(request);
    expect(await answered).toMatch(/^HTTP\/1\.1 400 /);
    expect((await post(bench, '{"sandbox":"one"}')).status).toBe(200);
    expect(bench.faults).toEqual([]);
  });

  it("end at their deadline", async () => {
    const bench = await start();
    const answer = await post(bench, '{"sandbox":"hang"}', { "connect-timeout-ms": "50" });
    expect([answer.status, errorInfo(answer).reason]).toEqual([504, "DEADLINE_EXCEEDED"]);
    expect(bench.calls[0]?.signal.aborted).toBe(true);
  });

  it.each(["connect-timeout-ms: 9999999999", "grpc-timeout: 99999999S", "grpc-timeout: 99999999H"])(
    "of months have no deadline: %s",
    async (field) => {
      const bench = await start();
      const [header = "", value = ""] = field.split(": ");
      const headers = header.startsWith("grpc") ? { "content-type": "application/grpc-web+json" } : json;
      const body = header.startsWith("grpc") ? "\0\0\0\0\x02{}" : "{}";
      const warnings: Error[] = [];
      const listener = (warning: Error) => void warnings.push(warning);
      process.on("warning", listener);
      const answer = await ask(bench, getSandbox, { headers: { ...headers, [header]: value }, body });
      process.off("warning", listener);
      expect(answer.status).toBe(200);
      expect(bench.calls[0]?.deadline).toBe(undefined);
      expect(warnings.filter(({ name }) => name === "TimeoutOverflowWarning")).toEqual([]);
    },
  );

  it("end when the caller goes away", async () => {
    const bench = await start();
    const socket = await dial(bench);
    const body = '{"sandbox":"hang"}';
    socket.write(
      `POST ${getSandbox} HTTP/1.1\r\nhost: ${name}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await expect.poll(() => bench.calls.length).toBe(1);
    socket.destroy();
    await expect.poll(() => bench.calls[0]?.signal.aborted).toBe(true);
    expect(bench.faults).toEqual([]);
  });

  it("stream answers as they come", async () => {
    const bench = await start();
    const channel = createWebChannel({ protocol: "JSON over HTTP/1.1", address: bench.address, serverName: name, ca });
    const answers = createClient(SandboxService, channel).watchSandbox({ sandbox: "one" })[Symbol.asyncIterator]();
    expect((await answers.next()).value).toMatchObject({ sandbox: { name: "one" } });
    bench.calls[0]?.end(new ServiceError("CREDENTIAL_REVOKED", "the credential was revoked"));
    await expect(answers.next()).rejects.toMatchObject({ reason: "CREDENTIAL_REVOKED" });
  });
});

describe("what a request says of its sender", () => {
  it("is its authorization alone: a cookie does not reach the pipeline", async () => {
    const bench = await start();
    const headers = { cookie: "session=secret", authorization: "Bearer token" };
    const shown = async (header: string) =>
      JSON.parse((await post(bench, `{"sandbox":"header ${header}"}`, headers)).body).sandbox.name;
    expect([await shown("cookie"), await shown("authorization")]).toEqual(["none", "Bearer token"]);
  });

  it("is refused to who reads it when it was said twice", async () => {
    const bench = await start();
    const answer = await post(bench, '{"sandbox":"header x-id"}', { "x-id": ["one", "two"] });
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([
      400,
      { message: "a header was sent more than once" },
    ]);
  });
});

describe("web pages", () => {
  it.each([
    ["an allowed one", page, 200, page],
    ["one of another origin", "https://evil.example", 403, undefined],
    ["one of the same host without TLS", "http://console.example", 403, undefined],
    ["one of another port", `${page}:444`, 403, undefined],
    ["one whose origin begins like an allowed one", `${page}.evil.example`, 403, undefined],
    ["one of no origin, such as a sandboxed frame", "null", 403, undefined],
    ["no page at all", undefined, 200, undefined],
  ])("may call or not: %s", async (_what, origin, status, allowed) => {
    const bench = await start();
    const answer = await post(bench, '{"sandbox":"one"}', origin === undefined ? {} : { origin });
    expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([status, allowed]);
    expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
    expect(bench.calls).toHaveLength(status === 200 ? 1 : 0);
    if (status === 403) expect(errorInfo(answer).reason).toBe("ORIGIN_NOT_ALLOWED");
    else expect(answer.headers.vary).toBe("origin");
  });

  it("of an allowed origin learn before a call what they may send", async () => {
    const bench = await start();
    const headers = { origin: page, "access-control-request-method": "POST" };
    const answer = await ask(bench, getSandbox, { method: "OPTIONS", headers });
    expect(answer.status).toBe(204);
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": page,
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": expect.stringMatching(/Content-Type.*authorization/i),
    });
  });

  it("of another origin learn nothing before a call, not even which methods there are", async () => {
    const bench = await start();
    const headers = { origin: "https://evil.example", "access-control-request-method": "POST" };
    for (const path of [getSandbox, "/nothing", "/healthz"]) {
      const answer = await ask(bench, path, { method: "OPTIONS", headers });
      expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([403, undefined]);
    }
  });
});

it("tells whether it is serving", async () => {
  const bench = await start();
  const health = async (method = "GET") => {
    const { status, body } = await ask(bench, "/healthz", { method });
    return [status, body];
  };
  expect(await health()).toEqual([200, '{"status":"SERVING"}\n']);
  expect(await health("HEAD")).toEqual([200, ""]);
  bench.serving = false;
  expect(await health()).toEqual([503, '{"status":"NOT_SERVING"}\n']);
});

it("shows a renewed certificate to new connections", async () => {
  const bench = await start();
  const shown = async () => {
    const socket = await dial(bench);
    const { fingerprint256 } = socket.getPeerCertificate();
    return fingerprint256;
  };
  const before = await shown();
  bench.store.update(await issue());
  await expect.poll(shown).not.toBe(before);
});

it("names an address that it cannot listen on", async () => {
  const bench = await start();
  await expect(bench.server.bind(bench.address)).rejects.toThrow(`cannot listen on ${bench.address}: it is in use`);
});

describe("a stranger who takes time", () => {
  const head = `POST ${getSandbox} HTTP/1.1\r\nhost: ${name}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n`;

  it.each([
    ["says nothing after the handshake", ""],
    ["does not finish the header", head.slice(0, 60)],
  ])("is cut off when it %s", async (_what, sent) => {
    const bench = await start({ idleMs: 100 });
    const socket = await dial(bench);
    socket.write(sent);
    await once(socket, "close");
    expect(bench.calls).toEqual([]);
  });

  it("is cut off when it does not finish the body", async () => {
    const bench = await start({ requestMs: 100, idleMs: 60_000 });
    const socket = await dial(bench);
    socket.write(`${head}{`);
    await once(socket, "close");
    expect([bench.calls, bench.faults]).toEqual([[], []]);
  });

  it("is cut off when it does not send the first message of a stream", async () => {
    const bench = await start({ requestMs: 100, idleMs: 60_000 });
    const session = connectHttp2(`https://127.0.0.1:${bench.port}`, { ca, servername: name });
    stops.push(() => session.destroy());
    const stream = session.request({
      ":method": "POST",
      ":path": `/${SandboxService.typeName}/ExecSandbox`,
      "content-type": "application/connect+json",
    });
    stream.on("error", () => {});
    await once(stream, "close");
    expect([stream.rstCode !== 0, bench.faults]).toEqual([true, []]);
  });

  it("is cut off when it asks nothing over HTTP/2", async () => {
    const bench = await start({ idleMs: 100 });
    const session = connectHttp2(`https://127.0.0.1:${bench.port}`, { ca, servername: name });
    await once(session, "close");
    expect(bench.calls).toEqual([]);
  });

  it("is cut off first when bodies take too much memory, and others are served", async () => {
    const bench = await start({ unreadBytes: 10_000 });
    const socket = await dial(bench);
    socket.write(`${head.replace("1000", "100000")}${"x".repeat(9_000)}`);
    const closed = once(socket, "close");
    await expect.poll(async () => (await post(bench, `{"sandbox":"${"y".repeat(5_000)}"}`)).status).toBe(200);
    await closed;
  });

  it("leaves streams alone that are under way, however quiet", async () => {
    const bench = await start({ idleMs: 50, requestMs: 50 });
    const channel = createWebChannel({
      protocol: "gRPC-Web over HTTP/2",
      address: bench.address,
      serverName: name,
      ca,
    });
    const answers = createClient(SandboxService, channel).watchSandbox({ sandbox: "one" })[Symbol.asyncIterator]();
    await answers.next();
    const idler = await dial(bench);
    await once(idler, "close"); // whoever asks nothing is cut by now
    expect(bench.calls[0]?.signal.aborted).toBe(false);
    bench.calls[0]?.end(new ServiceError("CREDENTIAL_REVOKED", "the credential was revoked"));
    await expect(answers.next()).rejects.toMatchObject({ reason: "CREDENTIAL_REVOKED" });
  });
});

describe("a server that stops", () => {
  it.each(["JSON over HTTP/1.1", "gRPC-Web over HTTP/2"] as const)(
    "lets calls end for a while, then cuts them: %s",
    async (protocol) => {
      const bench = await start();
      const channel = createWebChannel({ protocol, address: bench.address, serverName: name, ca });
      const client = createClient(SandboxService, channel);
      const hanging = client.getSandbox({ sandbox: "hang" });
      await expect.poll(() => bench.calls.length).toBe(1);
      const stopped = bench.server.stop(200);
      bench.calls[0]?.end(new ServiceError("SANDBOX_NOT_READY", "not ready"));
      await expect(hanging).rejects.toMatchObject({ reason: "SANDBOX_NOT_READY" });
      await stopped;
      await expect(dial(bench)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    },
  );

  it("cuts what does not end by itself", async () => {
    const bench = await start();
    const channel = createWebChannel({
      protocol: "gRPC-Web over HTTP/2",
      address: bench.address,
      serverName: name,
      ca,
    });
    const answers = createClient(SandboxService, channel).watchSandbox({ sandbox: "one" })[Symbol.asyncIterator]();
    await answers.next();
    const [cut] = await Promise.allSettled([answers.next(), bench.server.stop(50)]);
    expect(cut.status).toBe("rejected");
    expect(bench.calls[0]?.signal.aborted).toBe(true);
  });

  it("is not held up by who asks nothing", async () => {
    const bench = await start();
    const socket = await dial(bench);
    const closed = once(socket, "close");
    await bench.server.stop(60_000);
    await closed;
  });
});
