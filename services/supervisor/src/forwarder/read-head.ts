import type { Socket } from "node:net";

/** The head that a peer sent, without the empty line, as latin1; and what came behind it. */
export interface ReadHead {
  readonly text: string;
  readonly rest: Buffer;
}

/** Why there is no head. */
export type HeadFault = "too-large" | "too-slow" | "closed";

const headEnd = Buffer.from("\r\n\r\n");

/** Reads from a paused socket up to the first empty line; the socket is paused again then, and everything behind it is in `rest`. */
export function readHead(
  socket: Socket,
  limits: { maxBytes: number; timeoutMs: number; already?: Buffer },
): Promise<ReadHead | HeadFault> {
  return new Promise((resolve) => {
    let bytes: Buffer = limits.already ?? Buffer.alloc(0);
    const settle = (outcome: ReadHead | HeadFault): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      resolve(outcome);
    };
    const look = (from: number): boolean => {
      const end = bytes.indexOf(headEnd, Math.max(0, from - 3));
      if (end >= 0 && end <= limits.maxBytes) {
        settle({ text: bytes.toString("latin1", 0, end), rest: bytes.subarray(end + headEnd.length) });
        return true;
      }
      if (end < 0 && bytes.length <= limits.maxBytes) return false;
      settle("too-large");
      return true;
    };
    const onData = (chunk: Buffer): void => {
      const from = bytes.length;
      bytes = Buffer.concat([bytes, chunk]);
      look(from);
    };
    const onEnd = (): void => settle("closed");
    const timer = setTimeout(() => settle("too-slow"), limits.timeoutMs);
    socket.on("data", onData);
    socket.once("end", onEnd);
    socket.once("close", onEnd);
    if (look(0)) return;
    if (socket.readableEnded || socket.destroyed) settle("closed");
    else socket.resume();
  });
}
