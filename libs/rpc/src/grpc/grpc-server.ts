import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import {
  experimental,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  logVerbosity,
  Metadata,
  Server,
  type ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServiceDefinition,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import type { Listener } from "@sandgate/api/options";
import type { Step } from "../call.ts";
import type { ServiceImplementation } from "../handler.ts";
import { ListenError } from "../listen-error.ts";
import type { CallObserver } from "../pipeline/observe.ts";
import { maxMessageBytes, Pipeline, type ResponseSink, type Route } from "../pipeline/pipeline.ts";
import type { IncomingCall, PipelineCall } from "../pipeline/pipeline-call.ts";
import { type Reason, ServiceError } from "../service-error.ts";
import { encodeStatusDetails, statusDetailsKey } from "../status-details.ts";
import type { CertificateStore } from "./certificate-store.ts";
import { connectionOf, GrpcConnection } from "./grpc-connection.ts";

/** What a gRPC server of one listener is made of. */
export interface GrpcServerOptions {
  readonly listener: Listener;
  readonly services: readonly ServiceImplementation[];
  /** Served to anybody without steps: health and reflection. */
  readonly openServices?: readonly ServiceImplementation[];
  readonly steps: readonly Step[];
  readonly certificates: CertificateStore;
  /** With mutual TLS a client without a certificate of the store's CAs is refused in the handshake. */
  readonly mutualTls: boolean;
  readonly newCallId: () => string;
  readonly observe?: CallObserver;
}

/** A gRPC server of one listener; it can listen on any number of addresses. */
export interface GrpcServer {
  /**
   * Listens on "127.0.0.1:7443", "127.0.0.1:0" or "unix:/path" and answers the address with its port. A Unix socket of
   * that path is replaced and gets the mode 0666: its directory says who may reach it. Throws ListenError.
   */
  bind(address: string): Promise<string>;
  /** Stops listening on an address that `bind` answered, and ends its connections. */
  unbind(address: string): void;
  /** Lets open calls end for `graceMs`, then cuts them. */
  stop(graceMs: number): Promise<void>;
}

/** Makes a gRPC server. Throws when a method has no access option or no handler. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  setLogVerbosity(logVerbosity.NONE); // what grpc-js prints to standard error, callers and our log are told anyway
  const pipeline = new Pipeline(options);
  const server = new Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": -1,
    "grpc.enable_channelz": 0,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    interceptors: [(_method, call) => describeConnection(call) as ServerInterceptingCall], // any implementation of the interface works
  });
  for (const definition of groupByService(pipeline.routes.values()))
    server.addService(
      definition.methods,
      Object.fromEntries(definition.routes.map((route) => [route.method.name, serve(pipeline, route, options)])),
    );
  // grpc-js names the two parameters the other way round than it reads them: identity first, then CA.
  const credentials = experimental.createCertificateProviderServerCredentials(
    options.certificates,
    options.mutualTls ? options.certificates : null,
    options.mutualTls,
  );

  const bound = new Set<string>();
  return {
    bind: (address) =>
      new Promise((resolve, reject) => {
        const path = address.startsWith("unix:") ? address.slice("unix:".length) : undefined;
        if (path !== undefined) rmSync(path, { force: true });
        server.bindAsync(address, credentials, (error, port) => {
          if (error !== null) return reject(new ListenError(address, error));
          if (path !== undefined) chmodSync(path, 0o666);
          const answer = path === undefined ? address.replace(/:\d+$/, `:${port}`) : address;
          bound.add(answer);
          resolve(answer);
        });
      }),
    unbind: (address) => {
      bound.delete(address);
      server.drain(address, 0);
      server.unbind(address);
      if (address.startsWith("unix:")) rmSync(address.slice("unix:".length), { force: true });
    },
    stop: async (graceMs) => {
      // Not forceShutdown: without channelz, grpc-js does not know its sessions there, and waits for ever for a stream that stays open.
      const addresses = [...bound];
      bound.clear();
      for (const address of addresses) server.drain(address, graceMs);
      await new Promise<void>((resolve) => {
        // A connection whose handshake ended after the first drain, or has not ended yet, would be waited for for ever.
        const overdue = setTimeout(() => {
          for (const address of addresses) server.drain(address, 0);
          resolve();
        }, graceMs + 500);
        server.tryShutdown(() => {
          clearTimeout(overdue);
          resolve();
        });
      });
    },
  };
}

/** Gives the call its connection, and gives the statuses that grpc-js itself sends an ErrorInfo like all of ours. */
function describeConnection(call: ServerInterceptingCallInterface): ServerInterceptingCallInterface {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (own) => {
    const reason = ownReasons[own.code ?? status.UNKNOWN];
    const described = own.metadata != null && own.metadata.get(statusDetailsKey).length > 0;
    if (reason === undefined || described) send(own);
    else send(toStatus(new ServiceError(reason, "the call was refused before it was read")));
  };
  const connection = connectionOf(call);
  call.getAuthContext = () => connection;
  return call;
}

/** What grpc-js means by the codes that it sends before or beside our pipeline. */
const ownReasons: Readonly<Record<number, Reason | undefined>> = {
  [status.RESOURCE_EXHAUSTED]: "REQUEST_TOO_LARGE",
  [status.DEADLINE_EXCEEDED]: "DEADLINE_EXCEEDED",
  [status.INTERNAL]: "REQUEST_MALFORMED", // a grpc-timeout or compressed message that cannot be read
  [status.UNIMPLEMENTED]: "REQUEST_MALFORMED", // an unknown compression
  [status.UNKNOWN]: "INTERNAL",
};

interface Definition {
  readonly methods: ServiceDefinition;
  readonly routes: Route[];
}

function groupByService(routes: Iterable<Route>): Definition[] {
  const byService = new Map<string, { methods: Record<string, ServiceDefinition[string]>; routes: Route[] }>();
  for (const route of routes) {
    const name = route.method.parent.typeName;
    const entry = byService.get(name) ?? { methods: {}, routes: [] };
    byService.set(name, entry);
    entry.routes.push(route);
    entry.methods[route.method.name] = {
      path: route.path,
      requestStream: route.method.methodKind === "client_streaming" || route.method.methodKind === "bidi_streaming",
      responseStream: route.method.methodKind === "server_streaming" || route.method.methodKind === "bidi_streaming",
      // Bytes both ways: the pipeline parses, so that a malformed message is refused in our words.
      requestSerialize: passThrough,
      requestDeserialize: passThrough,
      responseSerialize: passThrough,
      responseDeserialize: passThrough,
    };
  }
  return [...byService.values()];
}

function passThrough(bytes: Buffer): Buffer {
  return bytes;
}

type Served =
  | handleUnaryCall<Buffer, Buffer>
  | handleServerStreamingCall<Buffer, Buffer>
  | handleClientStreamingCall<Buffer, Buffer>
  | handleBidiStreamingCall<Buffer, Buffer>;

interface ServedCall {
  readonly metadata: Metadata;
  getAuthContext(): unknown;
  getDeadline(): Date | number;
  on(event: "cancelled", listener: () => void): unknown;
}

function serve(pipeline: Pipeline, route: Route, options: GrpcServerOptions): Served {
  const incoming = (call: ServedCall): IncomingCall => {
    const connection = call.getAuthContext();
    if (!(connection instanceof GrpcConnection)) throw new TypeError("the call has no connection");
    const deadline = Number(call.getDeadline());
    return {
      id: options.newCallId(),
      method: route.method,
      listener: options.listener,
      connection,
      deadline: Number.isFinite(deadline) ? deadline : undefined,
      header: (name) => {
        const values = call.metadata.get(name);
        return values.length === 1 ? values[0]?.toString() : undefined;
      },
    };
  };
  const followCancellation = (call: ServedCall, running: PipelineCall): void => {
    call.on("cancelled", () => {
      if (running.isClosed) return; // grpc-js says so after every call, too
      const late = running.deadline !== undefined && running.deadline <= Date.now();
      running.end(
        late
          ? new ServiceError("DEADLINE_EXCEEDED", "the deadline has passed")
          : new ServiceError("CANCELLED", "the caller has cancelled the call"),
      );
    });
  };

  switch (route.method.methodKind) {
    case "unary":
      return ((call, callback) => {
        const running = pipeline.unary(route, incoming(call), call.request, (error, response) =>
          error === undefined ? callback(null, asBuffer(response)) : callback(toStatus(error)),
        );
        followCancellation(call, running);
      }) satisfies handleUnaryCall<Buffer, Buffer>;
    case "server_streaming":
      return ((call) => {
        const running = pipeline.serverStream(route, incoming(call), call.request, sinkOf(call));
        followCancellation(call, running);
      }) satisfies handleServerStreamingCall<Buffer, Buffer>;
    case "client_streaming":
      return ((call, callback) => {
        const running = pipeline.clientStream(route, incoming(call), readAll(call), (error, response) =>
          error === undefined ? callback(null, asBuffer(response)) : callback(toStatus(error)),
        );
        followCancellation(call, running);
      }) satisfies handleClientStreamingCall<Buffer, Buffer>;
    case "bidi_streaming":
      return ((call) => {
        // Headers now, so that a client that waits for the answer to begin does not wait for the first message.
        call.sendMetadata(new Metadata());
        const running = pipeline.bidiStream(route, incoming(call), readAll(call), sinkOf(call));
        followCancellation(call, running);
      }) satisfies handleBidiStreamingCall<Buffer, Buffer>;
  }
}

/** The request messages until the client half-closes or goes away, which is an error: it must not pass for the end. */
async function* readAll(call: AsyncIterable<Buffer> & { readonly destroyed: boolean }): AsyncGenerator<Buffer> {
  try {
    yield* call;
  } catch (thrown) {
    if (!call.destroyed) throw thrown;
    throw new ServiceError("CANCELLED", "the caller has gone away", {}, { cause: thrown });
  }
}

interface WritableCall {
  write(bytes: Buffer): boolean;
  end(): unknown;
  emit(event: "error", error: unknown): boolean;
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  on(event: "drain" | "cancelled", listener: () => void): unknown;
  removeListener(event: "drain" | "cancelled", listener: () => void): unknown;
}

function sinkOf(call: WritableCall): ResponseSink {
  return {
    write(message) {
      if (call.destroyed || call.writableEnded) return undefined;
      if (call.write(asBuffer(message))) return undefined;
      // Resolves on cancellation too: nobody will drain it any more.
      const stop = new AbortController();
      const settled = Promise.race([
        once(call as unknown as NodeJS.EventEmitter, "drain", { signal: stop.signal }),
        once(call as unknown as NodeJS.EventEmitter, "cancelled", { signal: stop.signal }),
      ]);
      return settled.then(
        () => stop.abort(),
        () => undefined,
      );
    },
    end(error) {
      if (error === undefined) call.end();
      else call.emit("error", toStatus(error)); // grpc-js sends the status of an error that its stream emits
    },
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toStatus(error: ServiceError): {
  code: number;
  details: string;
  metadata: Metadata;
  name: string;
  message: string;
} {
  const { code, details } = encodeStatusDetails(error);
  const metadata = new Metadata();
  metadata.set(statusDetailsKey, asBuffer(details));
  return { code, details: error.message, metadata, name: error.name, message: error.message };
}
