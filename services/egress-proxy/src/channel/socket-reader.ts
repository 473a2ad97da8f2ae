import type { Socket } from "node:net";

/**
 * Reads a socket by pulling: nothing is read ahead of the caller beyond the socket's own buffer, so a slow writer on the
 * other side slows the sender down. One read at a time.
 */
export class SocketReader {
  readonly #socket: Socket;
  #unread: Buffer | undefined;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #onWake = () => this.#wake?.();
  readonly #onEnd = () => {
    this.#ended = true;
    this.#wake?.();
  };
  readonly #onError = (error: Error) => {
    this.#failure = error;
    this.#wake?.();
  };
  readonly #onClose = () => {
    this.#ended = true;
    this.#wake?.();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("readable", this.#onWake);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** The next bytes; undefined at the end. Throws what broke the connection. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#unread !== undefined) {
        const bytes = this.#unread;
        this.#unread = undefined;
        return bytes;
      }
      const bytes: Buffer | null = this.#socket.read();
      if (bytes !== null) return bytes;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** Gives bytes back: the next read returns them. */
  unread(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#unread = this.#unread === undefined ? bytes : Buffer.concat([bytes, this.#unread]);
  }

  /** Stops reading; what was read but not used is the socket's again. */
  release(): void {
    this.#socket.off("readable", this.#onWake);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("error", this.#onError);
    this.#socket.off("close", this.#onClose);
    if (this.#unread !== undefined && !this.#ended) this.#socket.unshift(this.#unread);
    this.#unread = undefined;
  }
}

/** Writes, and resolves when the socket takes more. Throws when it is closed. */
export async function writeTo(socket: Socket, data: Buffer | string): Promise<void> {
  if (!socket.writable) throw new ConnectionLost("the connection is closed");
  if (typeof data === "string" ? socket.write(data, "latin1") : socket.write(data)) return;
  await new Promise<void>((resolve, reject) => {
    const onDrain = () => settle(resolve);
    const onClose = () => settle(() => reject(new ConnectionLost("the connection is closed")));
    const settle = (act: () => void) => {
      socket.off("drain", onDrain);
      socket.off("close", onClose);
      act();
    };
    socket.on("drain", onDrain);
    socket.on("close", onClose);
  });
}

/** A connection ended while it was needed. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

/** Whether an error says that a peer or the network ended a connection, and nothing about this program. */
export function isConnectionFault(fault: unknown): boolean {
  if (!(fault instanceof Error)) return false;
  return fault instanceof ConnectionLost || ("code" in fault && /^E[A-Z0-9]+$/.test(String(fault.code)));
}
