import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { createKeyPair } from "@sandgate/pki";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";

/** The places that the story's sandboxes ask for: servers of this machine under names that are nobody's. */
export interface OriginServers {
  readonly names: readonly string[];
  readonly httpPort: number;
  readonly httpsPort: number;
  /** How many requests have come for this name. */
  requestsFor(name: string): number;
  /** PEM: the authority of their certificate. */
  readonly authority: string;
  close(): Promise<void>;
}

const dayMs = 86_400_000;

/** Starts an HTTP and an HTTPS server on loopback that answer for every one of these names. */
export async function startOriginServers(names: readonly string[]): Promise<OriginServers> {
  const now = Date.now();
  const authority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "demo origins", notAfter: now + dayMs, now }),
  );
  const { privateKey, publicKey } = createKeyPair();
  const { pem } = await authority.issueServiceCertificate({
    trustDomain: "demo.invalid",
    service: "origin",
    publicKey,
    dnsNames: names,
    ipAddresses: [],
    notAfter: now + dayMs,
    now,
  });
  const requests = new Map<string, number>();
  const answer: RequestListener = (request, response) => {
    const name = request.headers.host ?? "";
    requests.set(name, (requests.get(name) ?? 0) + 1);
    response.writeHead(200, { "content-type": "text/plain" }).end(`hello from ${name}\n`);
  };
  const plain = createServer(answer);
  const secure = createSecureServer({ cert: pem, key: privateKey.export({ type: "pkcs8", format: "pem" }) }, answer);
  const [httpPort, httpsPort] = await Promise.all([listen(plain), listen(secure)]);
  return {
    names,
    httpPort,
    httpsPort,
    requestsFor: (name) => requests.get(name) ?? 0,
    authority: authority.certificatePem,
    async close() {
      await Promise.all(
        [plain, secure].map((server) => {
          server.closeAllConnections();
          return new Promise<void>((resolve) => server.close(() => resolve()));
        }),
      );
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)); // a TCP server that listens has one
  });
}
