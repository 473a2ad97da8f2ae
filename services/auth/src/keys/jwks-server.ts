import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { tokenIssuer } from "@sandgate/identity";

const RELOAD_MS = 60_000;

/** A running key set server. */
export interface JwksServer {
  /** host:port, with the port that it was given. */
  readonly address: string;
  /** Reads certificate and key again. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** The address cannot be had; programs print it and exit with 2. */
export class JwksServerError extends Error {
  override readonly name = "JwksServerError";
  readonly exitCode = 2;
}

/**
 * Serves the public keys (RFC 7517) and the OpenID discovery document over HTTPS, to anybody: Envoy, clouds and Vault read them there.
 * The certificate is read again every minute. Throws JwksServerError when the address is taken.
 */
export async function startJwksServer(options: {
  readonly address: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly trustDomain: string;
  readonly jwksJson: () => string;
  /** Told that the certificate could not be read again; the last one stays in use. */
  readonly onFault: (fault: unknown) => void;
}): Promise<JwksServer> {
  const material = async () => ({
    cert: await readFile(options.certificateFile),
    key: await readFile(options.keyFile),
  });
  const documents = createDocuments(options);
  const server = createServer({ ...(await material()), minVersion: "TLSv1.2" }, (request, response) =>
    answer(documents, request, response),
  );
  server.requestTimeout = 10_000;
  server.headersTimeout = 5_000;
  server.maxConnections = 256;
  const separator = options.address.lastIndexOf(":");
  const host = options.address.slice(0, separator);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new JwksServerError(`jwks.address: ${options.address} cannot be used`, { cause })),
    );
    server.listen({ host: host.replace(/^\[|\]$/g, ""), port: Number(options.address.slice(separator + 1)) }, resolve);
  });
  const reload = async (): Promise<void> => server.setSecureContext({ ...(await material()), minVersion: "TLSv1.2" });
  const timer = setInterval(() => void reload().catch(options.onFault), RELOAD_MS).unref();
  const bound = server.address();
  return {
    reload,
    address: `${host}:${typeof bound === "object" && bound !== null ? bound.port : 0}`,
    stop: () =>
      new Promise((resolve) => {
        clearInterval(timer);
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function createDocuments(options: {
  readonly trustDomain: string;
  readonly jwksJson: () => string;
}): ReadonlyMap<string, () => string> {
  const issuer = tokenIssuer(options.trustDomain);
  const discovery = () =>
    JSON.stringify({
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: algorithmsOf(options.jwksJson()),
      claims_supported: ["iss", "sub", "aud", "iat", "exp", "jti"],
    });
  return new Map([
    ["/.well-known/jwks.json", options.jwksJson],
    ["/.well-known/openid-configuration", discovery],
  ]);
}

function algorithmsOf(jwksJson: string): readonly unknown[] {
  const { keys } = JSON.parse(jwksJson) as { keys: { alg: unknown }[] }; // formatJwks wrote it
  return [...new Set(keys.map(({ alg }) => alg))].sort();
}

function answer(
  documents: ReadonlyMap<string, () => string>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const document = documents.get(request.url ?? "");
  const allowed = request.method === "GET" || request.method === "HEAD";
  const status = document === undefined ? 404 : allowed ? 200 : 405;
  const body = status === 200 && document !== undefined ? document() : "";
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": status === 200 ? "public, max-age=60" : "no-store",
    "x-content-type-options": "nosniff",
    ...(status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
