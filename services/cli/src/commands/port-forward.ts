import { createServer, type Server, type Socket } from "node:net";
import { SandboxService } from "@sandgate/api/sandbox";
import { type Client, describeReason, ServiceError } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { type PortPair, parsePortPair } from "../files/port-pair.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { writeWithBackpressure } from "../text-streams.ts";

/** Options of `sandgate port-forward`. */
export interface PortForwardOptions {
  readonly address: string;
}

const pieceBytes = 256 * 1024;

/** `sandgate port-forward`: listens on this machine, and carries each connection to a port in the sandbox, until it is interrupted. */
export async function forwardPorts(
  context: CommandContext,
  sandbox: string,
  words: readonly string[],
  { address }: PortForwardOptions,
): Promise<number> {
  const { output, interruptions } = context;
  const pairs = words.map((word) => {
    const pair = parsePortPair(word);
    if (pair === undefined) throw usageFailure(`${word} is no port`, "REMOTE, or LOCAL:REMOTE");
    return pair;
  });
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const { signal } = interruptions;
  await client.getSandbox({ sandbox }, { signal }); // so that a wrong name is told now
  const sockets = new Set<Socket>();
  const servers: Server[] = [];
  try {
    for (const pair of pairs) {
      const server = await listen(address, pair, (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        carry({ client, sandbox, port: pair.remote, socket, signal }).catch((error: unknown) => {
          socket.destroy();
          if (!(error instanceof ServiceError)) throw error;
          if (signal.aborted) return;
          output.note(`sandgate: port ${pair.remote}: ${error.message}; ${describeReason(error.reason).mend}`);
          output.event({ event: "failed", remotePort: pair.remote, reason: error.reason });
        });
      });
      servers.push(server);
      const bound = server.address();
      const localPort = typeof bound === "object" && bound !== null ? bound.port : pair.local;
      output.event({ event: "listening", address, localPort, remotePort: pair.remote });
      output.line(`${address.includes(":") ? `[${address}]` : address}:${localPort} -> ${sandbox}:${pair.remote}`);
    }
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
    connection.close();
  }
  return exitCodes.ok;
}

async function listen(address: string, { local }: PortPair, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, onSocket);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new CommandFailure(
          {
            message: `port ${local} of ${address} cannot be listened on`,
            mend: "choose another: LOCAL:REMOTE, or 0:REMOTE",
          },
          { cause },
        ),
      ),
    );
    server.listen(local, address, resolve);
  });
  return server;
}

/** Carries one connection, each half until it is closed. */
async function carry(options: {
  readonly client: Client<typeof SandboxService>;
  readonly sandbox: string;
  readonly port: number;
  readonly socket: Socket;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { client, sandbox, port, socket } = options;
  const call = new AbortController();
  const signal = AbortSignal.any([options.signal, call.signal]);
  socket.on("error", () => call.abort());
  async function* requests() {
    yield { sandbox, message: { case: "port" as const, value: port } };
    const received: AsyncIterable<Buffer> = socket.iterator({ destroyOnReturn: false });
    for await (const data of received)
      for (let at = 0; at < data.length; at += pieceBytes)
        yield { message: { case: "data" as const, value: data.subarray(at, at + pieceBytes) } };
  }
  try {
    for await (const { event } of client.connectPort(requests(), { signal })) {
      if (event.case === "data" && !(await writeWithBackpressure(socket, event.value))) call.abort();
      if (event.case === "halfClosed") socket.end();
      if (event.case !== "closed") continue;
      if (event.value.reset) socket.resetAndDestroy();
      else socket.end();
      return;
    }
  } catch (error) {
    if (!call.signal.aborted) throw error; // the connection on this side was reset
  }
}
