import type { Duplex } from "node:stream";
import { closeSoon } from "./close-soon.ts";
import { closeFrame } from "./handshake.ts";

/** Why a grant ended. Closed: it is a label of a metric. */
export type GrantEnd = "deadline" | "client_closed" | "client_sent" | "revoked";

/**
 * Waits for the end of a grant's connection: the first of its deadline, the client's close, any byte of the client (E-42), and the signal.
 * `onEnd` is called once, before the client is told by a close frame (E-43).
 */
export function holdConnection(
  socket: Duplex,
  options: { readonly leftMs: number; readonly revoked: AbortSignal; readonly onEnd: (end: GrantEnd) => void },
): void {
  let ended = false;
  const end = (how: GrantEnd): void => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    options.revoked.removeEventListener("abort", revoke);
    options.onEnd(how);
    closeSoon(socket, farewell(how));
  };
  const revoke = () => end("revoked");
  const timer = setTimeout(() => end("deadline"), options.leftMs);
  options.revoked.addEventListener("abort", revoke);
  socket.on("error", () => end("client_closed"));
  socket.on("close", () => end("client_closed"));
  socket.on("end", () => end("client_closed"));
  socket.on("data", () => end("client_sent"));
  if (options.revoked.aborted) revoke();
  if (socket.destroyed) end("client_closed");
}

function farewell(how: GrantEnd): Buffer {
  return how === "revoked"
    ? closeFrame(1001, "revoked")
    : closeFrame(1000, how === "deadline" ? "the lease has ended" : "");
}
