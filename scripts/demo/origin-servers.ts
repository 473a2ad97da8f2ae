import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { AddressInfo, Server } from "node:net";

/** The places that the story's sandboxes ask for: servers of this machine under names that are nobody's. */
export interface OriginServers {
  readonly names: readonly string[];
  readonly httpPort: number;
  readonly httpsPort: number;
  /** How many requests have come for this name. */
  requestsFor(name: string): number;
  /** PEM: the authority of their certificate. Both are made when they are first asked for; before, HTTPS has no answer. */
  authority(): Promise<string>;
  close(): Promise<void>;
}

const dayMs = 86_400_000;

/** Starts an HTTP and an HTTPS server on loopback that answer for every one of these names. */
export async function startOriginServers(names: readonly string[]): Promise<OriginServers> {
  const requests = new Map<string, number>();
  const answer: RequestListener = (request, response) => {
    const name = request.headers.host ?? "";
    requests.set(name, (requests.get(name) ?? 0) + 1);
    response.writeHead(200, { "content-type": "text/plain" }).end(`hello from ${name}\n`);
  };
  const plain = createServer(answer);
  const secure = createSecureServer(answer);
  let authority: Promise<string> | undefined;
  const [httpPort, httpsPort] = await Promise.all([listen(plain), listen(secure)]);
  return {
    names,
    httpPort,
    httpsPort,
    requestsFor: (name) => requests.get(name) ?? 0,
    authority: () => {
      authority ??= certify(secure, names);
      return authority;
    },
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

/** Gives the server a certificate for these names; answers the authority that made it. */
async function certify(server: SecureServer, names: readonly string[]): Promise<string> {
  // a quarter of a second to load, in which nobody should wait for the story to begin
  const { createKeyPair } = await import("@sandgate/pki");
  const { createCertificateAuthority, loadCertificateAuthority } = await import("@sandgate/pki/authority");
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
  server.setSecureContext({ cert: pem, key: privateKey.export({ type: "pkcs8", format: "pem" }) });
  return authority.certificatePem;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)); // a TCP server that listens has one
  });
}
