import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { createKeyPair } from "@sandgate/pki";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";

/** What an origin does with a connection whose first request head has come. */
export type OriginBehaviour = (socket: Socket, request: string) => void;

/** Answers 200 with the request that it saw, and closes. */
export const echoRequest: OriginBehaviour = (socket, request) => {
  socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(request, "latin1")}\r\n\r\n${request}`, "latin1");
};

/** An origin on loopback: plain bytes, or TLS. It remembers every byte that it received. */
export class OriginServer {
  /** One for each connection, in order. */
  readonly received: string[] = [];
  behaviour: OriginBehaviour = echoRequest;
  /** PEM of the authority of its certificate, of a TLS origin that was started. */
  authority = "";
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  async start(kind: "plain" | "tls"): Promise<number> {
    const serve = (socket: Socket) => this.#serve(socket);
    const identity = kind === "tls" ? await selfSigned() : undefined;
    this.authority = identity?.authority ?? "";
    const server =
      identity === undefined
        ? createServer({ allowHalfOpen: true }, serve)
        : createTlsServer({ key: identity.key, cert: identity.cert, allowHalfOpen: true }, serve);
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("no port");
    return address.port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server?.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    const index = this.received.push("") - 1;
    let answered = false;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      const text = (this.received[index] ?? "") + chunk.toString("latin1");
      this.received[index] = text;
      if (answered || !text.includes("\r\n\r\n")) return;
      answered = true;
      this.behaviour(socket, text);
    });
    socket.on("end", () => socket.end());
  }
}

async function selfSigned(): Promise<{ key: string; cert: string; authority: string }> {
  const notAfter = Date.now() + 3_600_000;
  const files = await createCertificateAuthority({ commonName: "conformance", notAfter });
  const authority = await loadCertificateAuthority(files);
  const { privateKey, publicKey } = createKeyPair();
  const leaf = await authority.issueServiceCertificate({
    trustDomain: "example.test",
    service: "origin",
    publicKey,
    dnsNames: ["api.example.test"],
    ipAddresses: [],
    notAfter,
    now: Date.now(),
  });
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: leaf.pem,
    authority: files.certificatePem,
  };
}
