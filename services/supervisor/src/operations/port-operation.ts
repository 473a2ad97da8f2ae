import { connect, type Socket } from "node:net";
import type { ConnectPortRequest, RelayExecResponse } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import type { Answer, Operation } from "./operation.ts";

const connectTimeoutMs = 5_000;
/** What may wait for a port that does not read, before its caller has to. */
const maxPendingBytes = 1024 * 1024;
/** The loopback addresses, in the order in which they are tried. No other is ever dialled. */
const loopback = ["127.0.0.1", "::1"] as const;

/** ConnectPort: one connection to a port at the sandbox's loopback address. */
export class PortOperation implements Operation {
  readonly #connected: Promise<Socket>;

  constructor(options: {
    readonly request: ConnectPortRequest;
    /** The ports that are the supervisor's own. */
    readonly ownPorts: readonly number[];
  }) {
    this.#connected = dial(options.request, options.ownPorts);
    this.#connected.catch(() => {}); // whoever asks for it is told
  }

  async *answers(): AsyncGenerator<Answer> {
    const socket = await this.#connected;
    yield portAnswer({ case: "connected", value: true });
    let reset = false;
    try {
      for await (const data of socket.iterator({ destroyOnReturn: false }))
        yield portAnswer({ case: "data", value: data });
      if (!socket.destroyed && !socket.writableFinished) {
        yield portAnswer({ case: "halfClosed", value: true });
        await new Promise<void>((resolve) => {
          if (socket.closed) resolve();
          else socket.once("close", () => resolve());
        });
      }
    } catch {
      reset = true; // ECONNRESET, EPIPE
    }
    yield portAnswer({ case: "closed", value: { reset: reset || socket.errored !== null } });
  }

  async receive({ message }: RelayExecResponse): Promise<void> {
    const socket = await this.#connected;
    if (message.case === "finished") {
      socket.end();
      return;
    }
    if (message.case !== "connectPort" || message.value.message.case !== "data" || !socket.writable) return;
    socket.write(message.value.message.value);
    if (socket.writableLength > maxPendingBytes)
      await new Promise<void>((resolve) => socket.once("drain", resolve).once("close", resolve));
  }

  async close(): Promise<void> {
    const socket = await this.#connected.catch(() => undefined);
    socket?.destroy();
  }
}

async function dial({ message }: ConnectPortRequest, ownPorts: readonly number[]): Promise<Socket> {
  const port = message.case === "port" ? message.value : 0;
  if (port < 1 || port > 65_535)
    throw new ServiceError("REQUEST_INVALID", "the first message must name a port", { field: "port" });
  if (ownPorts.includes(port))
    throw new ServiceError("PORT_NOT_OPEN", "this port is the supervisor's own", { port: String(port) });
  for (const host of loopback) {
    const socket = await tryDial(host, port);
    if (socket !== undefined) return socket;
  }
  throw new ServiceError("PORT_NOT_OPEN", "nothing in the sandbox listens on this port", { port: String(port) });
}

function tryDial(host: string, port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => fail(), connectTimeoutMs);
    const fail = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(undefined);
    };
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      socket.on("error", () => {}); // told by how its iteration ends
      resolve(socket);
    });
  });
}

function portAnswer(
  event: NonNullable<Extract<NonNullable<Answer["answer"]>, { case: "connectPort" }>["value"]["event"]>,
): Answer {
  return { answer: { case: "connectPort", value: { event } } };
}
