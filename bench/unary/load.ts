import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import type { BenchIdentity, BenchSandbox } from "./bench-identity.ts";

/** Connections to one server, each a sandbox's. */
export interface Load {
  /** Makes so many unary calls, and throws if one does not end with grpc-status 0. */
  call(count: number): Promise<void>;
  close(): void;
}

const emptyMessage = Buffer.alloc(5); // not compressed, length 0

/**
 * Opens one mutual TLS connection for each sandbox. The load is written on node:http2, so that every contestant gets the same bytes
 * from the same client.
 */
export async function openLoad(options: {
  readonly port: number;
  readonly identity: BenchIdentity;
  readonly serverName: string;
  readonly path: string;
  readonly inFlightPerConnection: number;
}): Promise<Load> {
  const { identity, serverName, path, inFlightPerConnection } = options;
  const connections = await Promise.all(
    identity.sandboxes.map(async (sandbox) => {
      const session = connect(`https://127.0.0.1:${options.port}`, {
        ca: identity.serverCaPem,
        cert: sandbox.certificatePem,
        key: sandbox.keyPem,
        servername: serverName,
      });
      await once(session, "connect");
      return { session, headers: headersOf(sandbox, serverName, path) };
    }),
  );
  return {
    async call(count) {
      let left = count;
      const work = async ({ session, headers }: (typeof connections)[number]) => {
        while (left > 0) {
          left -= 1;
          await callOnce(session, headers);
        }
      };
      await Promise.all(
        connections.flatMap((connection) => Array.from({ length: inFlightPerConnection }, () => work(connection))),
      );
    },
    close() {
      for (const { session } of connections) session.destroy();
    },
  };
}

function headersOf(sandbox: BenchSandbox, serverName: string, path: string): Record<string, string> {
  return {
    ":method": "POST",
    ":scheme": "https",
    ":path": path,
    ":authority": serverName,
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "grpc-node-js/1.14.7",
    "grpc-accept-encoding": "identity,deflate,gzip",
    "grpc-timeout": "10S",
    authorization: `Bearer ${sandbox.token}`,
  };
}

function callOnce(session: ClientHttp2Session, headers: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers);
    let status: unknown;
    let message = "";
    stream.on("response", (response) => {
      status = response["grpc-status"];
      message = String(response["grpc-message"]);
    });
    stream.on("trailers", (trailers) => {
      status = trailers["grpc-status"];
      message = String(trailers["grpc-message"]);
    });
    stream.on("error", reject);
    stream.on("end", () =>
      String(status) === "0" ? resolve() : reject(new Error(`grpc-status ${String(status)}: ${message}`)),
    );
    stream.resume();
    stream.end(emptyMessage);
  });
}
