import { chmodSync, rmSync } from "node:fs";
import {
  experimental,
  logVerbosity,
  Server,
  type ServerInterceptingCall,
  type ServiceDefinition,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import type { Listener } from "@sandgate/api/options";
import type { Step } from "../call.ts";
import type { ServiceImplementation } from "../handler.ts";
import { ListenError } from "../listen-error.ts";
import type { CallObserver } from "../pipeline/observe.ts";
import { maxMessageBytes, Pipeline, type Route } from "../pipeline/pipeline.ts";
import { UnreadRequests } from "../unread-requests.ts";
import type { CertificateStore } from "./certificate-store.ts";
import { GrpcConnections } from "./grpc-connection.ts";
import { type GrpcCall, ServedCall } from "./served-call.ts";

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
  /** Whether the callers are gateways, which tell the addresses of their own clients in `clientAddressHeader`. */
  readonly relayed?: boolean;
  readonly newCallId: () => string;
  readonly observe?: CallObserver;
  /** A request, or a stream's first message, must have come by then; default 30,000. */
  readonly requestTimeoutMs?: number;
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
  const connections = new GrpcConnections();
  const isRepeated = connections.isRepeated.bind(connections);
  const unread = new UnreadRequests({
    timeoutMs: options.requestTimeoutMs ?? 30_000,
    budgetBytes: Number.POSITIVE_INFINITY, // grpc-js tells of whole messages only
  });
  const intercept = (path: string, call: GrpcCall): Pick<ServedCall, "start"> => {
    const route = pipeline.routes.get(path);
    const connection = connections.connectionOf(call.stream);
    if (route === undefined || connection === undefined) return notServed(call);
    const relayed = options.relayed === true;
    const { newCallId } = options;
    return new ServedCall(call, { pipeline, route, connection, relayed, newCallId, isRepeated, unread });
  };
  const server = new Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": -1,
    "grpc.enable_channelz": 0,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    interceptors: [({ path }, call) => intercept(path, call as GrpcCall) as unknown as ServerInterceptingCall], // of it, grpc-js asks `start` alone
  });
  for (const definition of groupByService(pipeline.routes.values()))
    server.addService(
      definition.methods,
      Object.fromEntries(definition.routes.map((route) => [route.method.name, neverAsked])),
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
          connections.observe(server);
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

/** The interceptor serves every call in the place of the handlers. */
function neverAsked(): never {
  throw new TypeError("a call has passed the pipeline by");
}

/** For a call whose connection has ended meanwhile. */
function notServed(call: GrpcCall): Pick<ServedCall, "start"> {
  return { start: () => call.sendStatus({ code: status.UNAVAILABLE, details: "the connection has ended" }) };
}
