import type { ServerHttp2Stream } from "node:http2";
import { isIP } from "node:net";
import type { DescMethod } from "@bufbuild/protobuf";
import { Metadata, type ServerInterceptingCallInterface, status } from "@grpc/grpc-js";
import type { Listener } from "@sandgate/api/options";
import type { Connection } from "../call.ts";
import type { Pipeline, ResponseSink, Route } from "../pipeline/pipeline.ts";
import type { IncomingCall, PipelineCall } from "../pipeline/pipeline-call.ts";
import { repeatedHeaderError } from "../repeated-headers.ts";
import { type Reason, ServiceError } from "../service-error.ts";
import { encodeStatusDetails, statusDetailsKey } from "../status-details.ts";
import type { UnreadRequest, UnreadRequests } from "../unread-requests.ts";

/**
 * A call as grpc-js hands it to an interceptor, with its HTTP/2 stream: a private field, pinned by version and by test, which takes
 * a whole answer at once and says when it wants no more.
 */
export interface GrpcCall extends ServerInterceptingCallInterface {
  readonly stream: ServerHttp2Stream;
}

/** In it a gateway tells the address of its own client. */
export const clientAddressHeader = "sandgate-client-address";

type CallListener = Parameters<GrpcCall["start"]>[0];

/** What a call is served with. */
interface ServedCallOptions {
  readonly pipeline: Pipeline;
  readonly route: Route;
  readonly connection: Connection;
  /** Whether the connection is a gateway's, which says whose call it is. */
  readonly relayed: boolean;
  readonly newCallId: () => string;
  /** Whether the request has more than one header of that name. */
  readonly isRepeated: (stream: ServerHttp2Stream, name: string) => boolean;
  readonly unread: UnreadRequests;
}

/**
 * One call of grpc-js on its way through the pipeline. It takes the place of grpc-js's own handlers, whose streams and events for
 * every call cost more than the whole of identity.
 */
export class ServedCall implements IncomingCall, CallListener {
  readonly #call: GrpcCall;
  readonly #options: ServedCallOptions;
  readonly #sendStatus: GrpcCall["sendStatus"];
  #id: string | undefined;
  #relayed: Connection | undefined;
  #metadata: Metadata | undefined;
  /** The message of a call that has one. */
  #request: Buffer | undefined;
  /** Who waits for the next message of a call that has many. */
  #reader: PromiseWithResolvers<Buffer | undefined> | undefined;
  #running: PipelineCall | undefined;
  #answered = false;
  #cancelled = false;
  /** Until the request, or a stream's first message, has been read: nobody has been asked yet who sends it. */
  #unread: UnreadRequest | undefined;

  constructor(call: GrpcCall, options: ServedCallOptions) {
    this.#call = call;
    this.#options = options;
    this.#sendStatus = call.sendStatus;
    // What grpc-js itself refuses (sizes, deadlines, compression) goes out in our words too.
    call.sendStatus = ({ code }) => this.#refuse(ownReasons[code ?? status.UNKNOWN] ?? "INTERNAL");
  }

  /** grpc-js begins here, with a listener of its own, which is not asked. */
  start(): void {
    this.#call.start(this);
  }

  get id(): string {
    this.#id ??= this.#options.newCallId();
    return this.#id;
  }
  get method(): DescMethod {
    return this.#options.route.method;
  }
  get listener(): Listener {
    return this.#options.pipeline.listener;
  }
  get connection(): Connection {
    const { connection, relayed } = this.#options;
    if (!relayed) return connection;
    this.#relayed ??= relayedBy(connection, this.header(clientAddressHeader));
    return this.#relayed;
  }
  get deadline(): number | undefined {
    const deadline = Number(this.#call.getDeadline());
    return Number.isFinite(deadline) ? deadline : undefined;
  }

  header(name: string): string | undefined {
    if (this.#options.isRepeated(this.#call.stream, name)) throw repeatedHeaderError(name);
    return this.#metadata?.get(name)[0]?.toString();
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.#metadata = metadata;
    const { pipeline, route } = this.#options;
    this.#unread = this.#options.unread.begin(() => {
      this.#cancelled = true;
      this.#reader?.reject(gone()); // first, or the end of the call would pass for that of an empty stream
      this.#refuse("DEADLINE_EXCEEDED");
    });
    switch (route.method.methodKind) {
      case "unary":
      case "server_streaming":
        this.#call.startRead();
        return;
      case "client_streaming":
        this.#running = pipeline.clientStream(route, this, this.#requests(), this.#respond);
        return;
      case "bidi_streaming":
        // Headers now, so that a client that waits for the answer to begin does not wait for the first message.
        this.#call.sendMetadata(new Metadata());
        this.#running = pipeline.bidiStream(route, this, this.#requests(), this.#sink());
        return;
    }
  }

  onReceiveMessage(message: Buffer): void {
    if (isStreamOfRequests(this.method)) this.#unread?.read();
    if (this.#reader !== undefined) {
      this.#reader.resolve(message);
      this.#reader = undefined;
    } else if (this.#request === undefined) {
      this.#request = message;
      this.#call.startRead();
    } else this.#refuse("REQUEST_MALFORMED");
  }

  onReceiveHalfClose(): void {
    this.#unread?.read();
    if (this.#reader !== undefined) {
      this.#reader.resolve(undefined);
      this.#reader = undefined;
      return;
    }
    if (this.#answered) return; // refused before it was read
    const { pipeline, route } = this.#options;
    const request = this.#request;
    if (request === undefined) this.#refuse("REQUEST_MALFORMED");
    else if (route.method.methodKind === "unary") this.#running = pipeline.unary(route, this, request, this.#respond);
    else this.#running = pipeline.serverStream(route, this, request, this.#sink());
  }

  /** grpc-js says this after every call, too. */
  onCancel(): void {
    this.#unread?.read();
    this.#cancelled = true;
    this.#reader?.reject(gone());
    const running = this.#running;
    if (running === undefined || running.isClosed) return;
    const late = running.deadline !== undefined && running.deadline <= Date.now();
    running.end(
      late
        ? new ServiceError("DEADLINE_EXCEEDED", "the deadline has passed")
        : new ServiceError("CANCELLED", "the caller has cancelled the call"),
    );
  }

  /** The request messages until the client half-closes or goes away, which is an error: it must not pass for the end. */
  async *#requests(): AsyncGenerator<Buffer> {
    for (;;) {
      if (this.#cancelled) throw gone();
      const reader = Promise.withResolvers<Buffer | undefined>();
      this.#reader = reader;
      this.#call.startRead();
      const message = await reader.promise;
      if (message === undefined) return;
      yield message;
    }
  }

  readonly #respond = (error: ServiceError | undefined, response: Uint8Array): void => {
    if (error !== undefined) {
      this.#send(statusOf(error));
      return;
    }
    const { stream } = this.#call;
    if (stream.destroyed || stream.closed || this.#answered) return;
    this.#answered = true;
    stream.respond(responseHeaders, responseOptions);
    stream.once("wantTrailers", sendOk);
    stream.end(frameOf(response));
  };

  #sink(): ResponseSink {
    const { stream } = this.#call;
    return {
      write: (message) => {
        if (stream.destroyed || this.#answered) return undefined;
        this.#call.sendMessage(asBuffer(message), nothing);
        return stream.writableNeedDrain ? drained(stream) : undefined;
      },
      end: (error) => this.#send(error === undefined ? ok : statusOf(error)),
    };
  }

  /** The one status of the call: what comes later is not sent. */
  #send(what: Parameters<GrpcCall["sendStatus"]>[0]): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#sendStatus.call(this.#call, what);
  }

  #refuse(reason: Reason): void {
    if (!this.#answered) this.#send(statusOf(new ServiceError(reason, "the call was refused before it was read")));
  }
}

const ok = { code: status.OK, details: "OK", metadata: null };
const nothing = (): void => {};
/** A flat list goes out as it is; neither the date nor what compressions we take is of use to a caller. */
const responseHeaders = [":status", "200", "content-type", "application/grpc+proto"];
const responseOptions = { waitForTrailers: true, sendDate: false };
const okTrailers = { "grpc-status": "0" };

function sendOk(this: ServerHttp2Stream): void {
  this.sendTrailers(okTrailers);
  this.resume(); // what a client streams on after its answer is dropped
}

/** Length-Prefixed-Message of the gRPC protocol, not compressed. */
function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.byteLength);
  frame[0] = 0;
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, 5);
  return frame;
}

/** Resolves when the stream takes more, or will never again. */
function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.removeListener("drain", done);
      stream.removeListener("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}

function gone(): ServiceError {
  return new ServiceError("CANCELLED", "the caller has gone away");
}

function isStreamOfRequests({ methodKind }: DescMethod): boolean {
  return methodKind === "client_streaming" || methodKind === "bidi_streaming";
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function statusOf(error: ServiceError): Parameters<GrpcCall["sendStatus"]>[0] {
  const { code, details } = encodeStatusDetails(error);
  const metadata = new Metadata();
  metadata.set(statusDetailsKey, asBuffer(details));
  return { code, details: error.message, metadata };
}

/** What grpc-js means by the codes that it sends before or beside our pipeline. */
const ownReasons: Readonly<Record<number, Reason | undefined>> = {
  [status.RESOURCE_EXHAUSTED]: "REQUEST_TOO_LARGE",
  [status.DEADLINE_EXCEEDED]: "DEADLINE_EXCEEDED",
  [status.INTERNAL]: "REQUEST_MALFORMED", // a grpc-timeout or compressed message that cannot be read
  [status.UNIMPLEMENTED]: "REQUEST_MALFORMED", // an unknown compression
  [status.UNKNOWN]: "INTERNAL",
};

/** The gateway's client, as a connection of its own. Whether the carrier is a gateway's, identity finds out. */
function relayedBy(relay: Connection, address: string | undefined): Connection {
  return {
    transport: "web",
    remoteAddress: address !== undefined && isIP(address) !== 0 ? address : "",
    relay,
    drain: () => relay.drain(),
    onClose: (listener) => relay.onClose(listener),
  };
}
