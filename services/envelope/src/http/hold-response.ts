import type { ServerResponse } from "node:http";
import { closeSoon } from "./close-soon.ts";
import type { GrantEnd } from "./hold-connection.ts";

/**
 * As `holdConnection`, for a request that is answered at once and held by an answer without an end (`POST /v0/allow`): until its deadline, the
 * client's close, and the signal.
 */
export function holdResponse(
  response: ServerResponse,
  options: { readonly leftMs: number; readonly revoked: AbortSignal; readonly onEnd: (end: GrantEnd) => void },
): void {
  let ended = false;
  const { socket } = response;
  const end = (how: GrantEnd): void => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    options.revoked.removeEventListener("abort", revoke);
    options.onEnd(how);
    response.end(how === "deadline" ? "the lease has ended\n" : "");
    if (socket !== null) closeSoon(socket, "");
  };
  const revoke = () => end("revoked");
  const timer = setTimeout(() => end("deadline"), options.leftMs);
  options.revoked.addEventListener("abort", revoke);
  response.on("close", () => end("client_closed"));
  response.on("error", () => end("client_closed"));
  if (options.revoked.aborted) revoke();
  if (response.destroyed || socket === null) end("client_closed");
}
