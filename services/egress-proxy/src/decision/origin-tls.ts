import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { ConnectionLost } from "../channel/socket-reader.ts";
import { Refusal } from "./refusal.ts";

/**
 * Speaks TLS 1.2 or later over a connection to an origin, for HTTP/1.1. Throws a Refusal of 502 where the origin does not show a valid
 * certificate for the name, and of 504 where it takes too long: nothing is sent before.
 */
export async function startOriginTls(
  socket: Socket,
  options: {
    readonly serverName: string;
    /** PEM; undefined: the authorities that Node brings. */
    readonly authorities: readonly string[] | undefined;
    readonly timeoutMs: number;
    /** Gives it up; the promise rejects with ConnectionLost. */
    readonly signal: AbortSignal;
  },
): Promise<TLSSocket> {
  if (options.signal.aborted) throw new ConnectionLost("given up");
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const secure = connect({
    socket,
    servername: options.serverName,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    rejectUnauthorized: true,
    ...(options.authorities === undefined ? {} : { ca: [...options.authorities] }),
  });
  const timer = setTimeout(() => {
    reject(Refusal.fault(504, "upstream_timeout", "the origin did not complete its TLS handshake in time"));
    secure.destroy();
  }, options.timeoutMs);
  const giveUp = () => {
    reject(new ConnectionLost("given up"));
    secure.destroy();
  };
  options.signal.addEventListener("abort", giveUp, { once: true });
  secure.on("error", (cause) =>
    reject(Refusal.fault(502, "upstream_failed", "the origin's TLS handshake or certificate is not valid", { cause })),
  );
  secure.once("close", () => reject(Refusal.fault(502, "upstream_failed", "the origin closed the connection")));
  secure.once("secureConnect", () => resolve(secure));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", giveUp);
  }
}
