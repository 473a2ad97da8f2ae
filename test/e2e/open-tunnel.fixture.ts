import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectSecurely } from "node:tls";

/** A TLS connection to an origin, through a sandbox's channel. */
export interface OpenTunnel {
  /** The time in milliseconds at which the proxy closed it; undefined while it is open. */
  readonly closedAt: number | undefined;
  /** Resolves with that time. */
  readonly closed: Promise<number>;
  close(): void;
}

/** Opens a tunnel to port 443 of a host, as a sandbox's forwarder would, and finishes the TLS handshake in it. */
export async function openTunnel(options: {
  readonly egressSocket: string;
  readonly token: string;
  readonly host: string;
  /** PEM: who vouches for the origin. */
  readonly authority: string;
}): Promise<OpenTunnel> {
  const { host, token, authority } = options;
  const socket = connect(options.egressSocket);
  const times: { closedAt?: number } = {};
  const closed = new Promise<number>((resolve) => {
    socket.once("close", () => {
      times.closedAt = Date.now();
      resolve(times.closedAt);
    });
  });
  socket.write(`CONNECT ${host}:443 HTTP/1.1\r\nhost: ${host}:443\r\nproxy-authorization: Bearer ${token}\r\n\r\n`);
  const answer = await firstBytes(socket);
  if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(`the proxy refused the tunnel: ${answer}`);
  const secure = connectSecurely({ socket, servername: host, ca: authority });
  await once(secure, "secureConnect");
  secure.on("error", () => {}); // it is cut, with or without a farewell
  return {
    get closedAt() {
      return times.closedAt;
    },
    closed,
    close: () => socket.destroy(),
  };
}

async function firstBytes(socket: Socket): Promise<string> {
  const [bytes] = await Promise.race([once(socket, "data"), once(socket, "close").then(() => ["nothing"])]);
  return String(bytes);
}
