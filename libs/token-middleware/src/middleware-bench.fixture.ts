import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer, request as tlsRequest } from "node:https";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createTokenSigner, type EgressClaims, formatJwks, mintToken } from "@sandgate/identity/tokens";
import { createCsr, createKeyPair, keyThumbprint } from "@sandgate/pki";
import { createCertificateAuthority, createDevelopmentPki, loadCertificateAuthority } from "@sandgate/pki/authority";
import { fetchStyle } from "./fetch-style.ts";
import { nodeStyle } from "./node-style.ts";
import type { TokenCheck } from "./token-check.ts";

export const trustDomain = "sandgate.test";
export const issuer = "https://auth.sandgate.test";
export const audience = "sandbox-api";
export const now = Math.floor(Date.now() / 1000) * 1000;
export const container = "sbx-aaaaaaaaaaaaaaaaaaaa";
export const other = "sbx-bbbbbbbbbbbbbbbbbbbb";

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const signer = createTokenSigner(ec.privateKey);
export const jwksOf = (...keys: readonly KeyObject[]): object => JSON.parse(formatJwks(keys));
/** As Auth publishes them: the keys of other kinds of token too. */
export const jwks = jwksOf(ec.publicKey, ed.publicKey);
/** A session's token, signed by a key of the same set. */
export const sessionToken = (): Promise<string> =>
  mintToken({
    signer: createTokenSigner(ed.privateKey),
    trustDomain,
    claims: { kind: "session", ...sandboxClaims, keyThumbprint: "k".repeat(43) },
  });

const sandboxClaims = {
  tokenId: "t".repeat(43),
  sandboxId: container,
  organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
  incarnation: 3n,
  issuedAtMs: now,
  expiresAtMs: now + 600_000,
};

export const claims: EgressClaims = {
  kind: "egress",
  ...sandboxClaims,
  audience,
  enforceContainerBinding: true,
  useEgressGateway: true,
  enforceCentralizedEgress: true,
  isHipaaRegulated: false,
  isPciCompliant: true,
  allowedHosts: ["a.example.test"],
  confirmation: undefined,
};

/** A container token that says this. */
export const mint = (over: Partial<EgressClaims> = {}): Promise<string> =>
  mintToken({ signer, trustDomain, claims: { ...claims, ...over } });

/** A container token with other members in its header or payload, signed with our key as it should be. */
export async function forge(over: { readonly header?: object; readonly payload?: object }): Promise<string> {
  const parts = (await mint()).split(".");
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const decode = (part = "") => JSON.parse(Buffer.from(part, "base64url").toString());
  const input = `${encode({ ...decode(parts[0]), ...over.header })}.${encode({ ...decode(parts[1]), ...over.payload })}`;
  for (;;) {
    const signature = sign("sha256", Buffer.from(input), { key: ec.privateKey, dsaEncoding: "ieee-p1363" });
    if ((signature[32] ?? 255) < 0x7f) return `${input}.${signature.toString("base64url")}`; // of the lower half
  }
}

const directory = mkdtempSync(join(tmpdir(), "sgm-"));
const pki = await createDevelopmentPki({ directory, trustDomain, operatorUserId: crypto.randomUUID() });
const tls = {
  cert: readFileSync(pki.services.auth.certificateFile),
  key: readFileSync(pki.services.auth.keyFile),
  requestCert: true,
  rejectUnauthorized: false,
};
/** Of the servers of `serve`, and of a key set server over TLS. */
export const serverCa = readFileSync(pki.serviceAuthority.certificateFile, "utf8");
rmSync(directory, { recursive: true });

/** A client's certificate with its key. */
export interface ClientIdentity {
  readonly cert: string;
  readonly key: string;
  readonly thumbprint: string;
  readonly sha256: string;
}

const authority = await loadCertificateAuthority(
  await createCertificateAuthority({ commonName: "sandboxes", notAfter: now + 86_400_000 }),
);

/** A sandbox's certificate, of a new key or of the key of another certificate. */
export async function certify(sandboxId = container, of?: ClientIdentity): Promise<ClientIdentity> {
  const keys = createKeyPair();
  const key = of?.key ?? keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const { der } = of
    ? await authority.renewSandboxCertificate({
        trustDomain,
        sandboxId,
        lifeMs: 600_000,
        now,
        publicKeyDer: new X509Certificate(of.cert).publicKey.export({ type: "spki", format: "der" }),
      })
    : await authority.issueSandboxCertificate({
        trustDomain,
        sandboxId,
        lifeMs: 600_000,
        now,
        certificateRequest: createCsr(keys),
      });
  return {
    cert: new X509Certificate(der).toString(),
    key,
    thumbprint: keyThumbprint(createPrivateKey(key)),
    sha256: createHash("sha256").update(der).digest("base64url"),
  };
}

/** A service of one handler, behind the check in one of the styles. The handler answers what the token says. */
export const styles: Readonly<Record<"Node" | "Fetch", (check: TokenCheck<Socket>) => RequestListener>> = {
  Node: (check) => {
    const guard = nodeStyle(check);
    return (request, response) =>
      guard(request, response, () => void response.end(JSON.stringify(check.tokenOf(request))));
  },
  Fetch: (check) => {
    const guard = fetchStyle(check);
    return (incoming, response) => {
      const request = toFetch(incoming);
      void guard(request, incoming.socket)
        .then((refusal) => refusal ?? Response.json(check.tokenOf(request)))
        .then((answer) => sendFetch(answer, response));
    };
  },
};

function toFetch(incoming: IncomingMessage): Request {
  const headers = new Headers();
  for (let index = 0; index < incoming.rawHeaders.length; index += 2)
    headers.append(incoming.rawHeaders[index] ?? "", incoming.rawHeaders[index + 1] ?? "");
  return new Request(new URL(incoming.url ?? "/", "http://service.test"), { headers });
}

async function sendFetch(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
}

/** A running server. */
export interface Service {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves over TLS, asking for a client certificate, or without TLS. */
export async function serve(listener: RequestListener, options: { readonly tls: boolean }): Promise<Service> {
  const server: Server & { closeAllConnections(): void } = options.tls
    ? createTlsServer(tls, listener)
    : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port, // a TCP server that listens has one
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What a service answered. */
export interface Answer {
  readonly status: number | undefined;
  readonly challenge: string | undefined;
  readonly body: unknown;
}

/** Calls a service over TLS with these header lines, as they are. */
export async function call(
  service: Service,
  lines: readonly (readonly [string, string])[],
  identity?: ClientIdentity,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  tlsRequest(
    {
      port: service.port,
      host: "127.0.0.1",
      ca: serverCa,
      agent: false,
      headers: ["host", "service.test", ...lines.flat()],
      ...(identity !== undefined && { cert: identity.cert, key: identity.key }),
    },
    resolve,
  )
    .on("error", reject)
    .end();
  const response = await promise;
  const body: unknown = JSON.parse(await text(response));
  return { status: response.statusCode, challenge: response.headers["www-authenticate"], body };
}
