import type { Duplex } from "node:stream";

const CLOSING_MS = 1_000;

/** Says the last of a connection and ends it, whether the other side does so too or not. */
export function closeSoon(socket: Duplex, last: string | Buffer): void {
  if (socket.destroyed) return;
  socket.end(last);
  const timer = setTimeout(() => socket.destroy(), CLOSING_MS);
  socket.once("close", () => clearTimeout(timer));
}
