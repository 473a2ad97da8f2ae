import type { DescMethod } from "@bufbuild/protobuf";
import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "@sandgate/api/google/rpc/error-details";
import type { Channel } from "../client.ts";
import { type Reason, ServiceError } from "../service-error.ts";

/** The protocols that a web server speaks, by a name for tests. */
export const webProtocols = ["JSON over HTTP/1.1", "JSON over HTTP/2", "gRPC-Web over HTTP/2"] as const;

export type WebProtocol = (typeof webProtocols)[number];

/** A client of connect-node's as one of our channels, for tests that run over every transport. */
export function createWebChannel(options: {
  readonly protocol: WebProtocol;
  /** host:port */
  readonly address: string;
  /** The name that the server's certificate must carry. */
  readonly serverName: string;
  readonly ca: string;
  readonly headers?: Readonly<Record<string, string>>;
}): Channel {
  const baseUrl = `https://${options.address}`;
  const nodeOptions = { ca: options.ca, servername: options.serverName };
  const useBinaryFormat = false;
  const transport = {
    "JSON over HTTP/1.1": () => createConnectTransport({ httpVersion: "1.1", baseUrl, nodeOptions, useBinaryFormat }),
    "JSON over HTTP/2": () => createConnectTransport({ httpVersion: "2", baseUrl, nodeOptions, useBinaryFormat }),
    "gRPC-Web over HTTP/2": () => createGrpcWebTransport({ httpVersion: "2", baseUrl, nodeOptions }),
  }[options.protocol]();
  return toChannel(transport, options.headers ?? {});
}

function toChannel(transport: Transport, headers: Readonly<Record<string, string>>): Channel {
  // biome-ignore lint/suspicious/noExplicitAny: a channel is given methods by their descriptors
  const call = (method: DescMethod, request: any, { headers: own, ...options }: CallOptions): any => {
    // biome-ignore lint/suspicious/noExplicitAny: see above
    const client = createClient(method.parent, transport) as any;
    return client[method.localName](request, { ...options, headers: { ...headers, ...(own as object) } });
  };
  const one = async (method: DescMethod, request: unknown, options: CallOptions): Promise<unknown> => {
    try {
      return await call(method, request, options);
    } catch (thrown) {
      throw toServiceError(thrown);
    }
  };
  const each = async function* (method: DescMethod, request: unknown, options: CallOptions): AsyncGenerator<unknown> {
    try {
      yield* call(method, request, options);
    } catch (thrown) {
      throw toServiceError(thrown);
    }
  };
  return { unary: one, clientStream: one, serverStream: each, bidiStream: each, close: () => {} };
}

/** What a client of another maker concludes from a bare status. */
const plainReasons: Readonly<Partial<Record<Code, Reason>>> = {
  [Code.Canceled]: "CANCELLED",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.ResourceExhausted]: "REQUEST_TOO_LARGE",
  [Code.InvalidArgument]: "REQUEST_MALFORMED",
  [Code.Unimplemented]: "METHOD_NOT_FOUND",
  [Code.Unavailable]: "UNAVAILABLE",
};

function toServiceError(thrown: unknown): ServiceError {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info !== undefined) return new ServiceError(info.reason as Reason, error.rawMessage, info.metadata);
  return new ServiceError(plainReasons[error.code] ?? "INTERNAL", error.rawMessage, {}, { cause: thrown });
}
