import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Where a link is cut: after so many bytes more have passed in that direction. Of the answer's direction, 0 lets none of it pass. */
export interface Cut {
  readonly direction: "request" | "answer";
  readonly afterBytes: number;
}

/** A TCP way to a server that breaks where a test says, or falls silent. */
export class FaultyLink {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: Cut | undefined;
  #passed = { request: 0, answer: 0 };
  #isSilent = false;
  #cuts = 0;

  private constructor(target: string, server: Server) {
    const colon = target.lastIndexOf(":");
    this.#target = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) };
    this.#server = server;
    server.on("connection", (client: Socket) => this.#join(client));
  }

  /** A link to "host:port". */
  static async open(target: string): Promise<FaultyLink> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FaultyLink(target, server);
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`; // a TCP server that listens has one
  }

  /** How often a cut was made. */
  get cuts(): number {
    return this.#cuts;
  }

  /** From now on bytes are counted, and the next cut is made there, once. */
  arm(cut: Cut): void {
    this.#cut = cut;
    this.#passed = { request: 0, answer: 0 };
  }

  /** Answers are lost, and nobody is told, until the next `speak`. */
  fallSilent(): void {
    this.#isSilent = true;
  }
  speak(): void {
    this.#isSilent = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket): void {
    const server = connect(this.#target);
    for (const [from, to, direction] of [
      [client, server, "request"],
      [server, client, "answer"],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (chunk: Buffer) => this.#pass(chunk, direction, to, [client, server]));
      from.on("error", () => {}); // its close says so
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  #pass(chunk: Buffer, direction: Cut["direction"], to: Socket, both: readonly Socket[]): void {
    if (direction === "answer" && this.#isSilent) return;
    const cut = this.#cut;
    if (cut?.direction !== direction) {
      to.write(chunk);
      return;
    }
    const room = cut.afterBytes - this.#passed[direction];
    this.#passed[direction] += chunk.length;
    if (chunk.length <= room) {
      to.write(chunk);
      return;
    }
    this.#cut = undefined;
    this.#cuts += 1;
    to.end(chunk.subarray(0, Math.max(0, room)), () => {
      for (const socket of both) socket.destroy();
    });
  }
}
