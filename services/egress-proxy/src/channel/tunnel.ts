import type { Socket } from "node:net";

/**
 * Relays two sockets until both directions have ended: each keeps the pace of its reader, and one side's end is passed on
 * while the other goes on. An error, a time without any byte, or the signal ends both.
 */
export function relay(
  one: Socket,
  other: Socket,
  options: { readonly idleTimeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    const destroyBoth = () => {
      one.destroy();
      other.destroy();
    };
    const onClose = () => {
      open--;
      if (open > 0) return;
      options.signal.removeEventListener("abort", destroyBoth);
      resolve();
    };
    for (const [socket, peer] of [
      [one, other],
      [other, one],
    ] as const) {
      socket.on("error", destroyBoth);
      socket.on("timeout", destroyBoth);
      const closed = () => {
        peer.destroySoon(); // what it still has to send is sent; there is nothing more to come, and nobody to send to
        onClose();
      };
      socket.setTimeout(options.idleTimeoutMs);
      if (socket.closed) closed();
      else socket.on("close", closed);
    }
    if (options.signal.aborted || one.destroyed || other.destroyed) return destroyBoth();
    options.signal.addEventListener("abort", destroyBoth, { once: true });
    one.pipe(other);
    other.pipe(one);
  });
}
