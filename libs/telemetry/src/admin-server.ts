import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

/** Named readiness checks; each throws, or rejects, while its part is not ready. */
export type Checks = Readonly<Record<string, () => void | Promise<void>>>;

/** What the admin listener needs to know. */
export interface AdminServerOptions {
  /** 0 is any free port. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: "127.0.0.1" | "::1";
  readonly registry: Registry;
  readonly checks: Checks;
  /** Reads the program's certificates again, and answers which are in use. */
  readonly certificates?: () => object | Promise<object>;
  /** What else is served, as JSON, by path. Every user of this machine can read it. */
  readonly documents?: Readonly<Record<string, () => object>>;
  /** Told why a check failed, and when it passes again, once for each change; the answer says only which one. */
  readonly logger?: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  /** A check that takes longer has failed. Default 2,000. */
  readonly checkTimeoutMs?: number;
}

/** A running admin listener. */
export interface AdminServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** The admin listener cannot be had; programs print it and exit with 2. */
export class AdminServerError extends Error {
  override readonly name = "AdminServerError";
  readonly exitCode = 2;
}

/**
 * Serves GET /livez (the process answers), /readyz (every check passes, else 503; JSON names each), /metrics and, where the program has
 * any, /certificates (those in use, after the files were read again) and documents of its own, on a loopback address. Refuses any other host,
 * requests that name another host, and a port that is taken.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const host: string = options.host ?? "127.0.0.1";
  if (host !== "127.0.0.1" && host !== "::1")
    throw new AdminServerError(`admin host ${host} is not a loopback address`);
  const failing = new Set<string>();
  const server = createServer((request, response) => {
    answer(request, options, failing).then(
      (reply) => send(request, response, reply),
      (error: unknown) => {
        options.logger?.warn({ err: error }, "admin request failed");
        send(request, response, { status: 500, type: "text/plain", body: "internal error\n" });
      },
    );
  });
  server.requestTimeout = 10_000;
  server.headersTimeout = 5_000;
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is in use" : `cannot be used (${error.code ?? "unknown error"})`;
      reject(new AdminServerError(`admin.port: port ${options.port} on ${host} ${why}`, { cause: error }));
    });
    server.listen({ port: options.port, host, exclusive: true }, resolve);
  });
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  let stopped: Promise<void> | undefined;
  return {
    port,
    stop() {
      stopped ??= new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return stopped;
    },
  };
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

async function answer(request: IncomingMessage, options: AdminServerOptions, failing: Set<string>): Promise<Reply> {
  // a web page that has its own name point to 127.0.0.1 must not read this
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(request.headers.host ?? ""))
    return { status: 421, type: "text/plain", body: "only loopback names are served\n" };
  if (request.method !== "GET" && request.method !== "HEAD")
    return { status: 405, type: "text/plain", body: "method not allowed\n" };
  switch (request.url) {
    case "/livez":
      return json(200, { status: "live" });
    case "/readyz": {
      const results = await runChecks(options, failing);
      const ready = Object.values(results).every((result) => result === "ok");
      return json(ready ? 200 : 503, { status: ready ? "ready" : "not ready", checks: results });
    }
    case "/certificates":
      if (options.certificates === undefined) return { status: 404, type: "text/plain", body: "not found\n" };
      return json(200, await options.certificates());
    case "/metrics":
      return { status: 200, type: options.registry.contentType, body: await options.registry.metrics() };
    default: {
      const documents = new Map(Object.entries(options.documents ?? {}));
      const document = documents.get(request.url ?? "");
      return document === undefined ? { status: 404, type: "text/plain", body: "not found\n" } : json(200, document());
    }
  }
}

/** `failing` is the names of the checks that failed last time: what goes on as it was is not logged again. */
async function runChecks(options: AdminServerOptions, failing: Set<string>): Promise<Record<string, "ok" | "failed">> {
  const timeoutMs = options.checkTimeoutMs ?? 2_000;
  const results = await Promise.all(
    Object.entries(options.checks).map(async ([name, check]): Promise<[string, "ok" | "failed"]> => {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("readiness check timed out")), timeoutMs);
      });
      try {
        await Promise.race([(async () => check())(), timeout]);
        if (failing.delete(name)) options.logger?.info({ check: name }, "readiness check passes again");
        return [name, "ok"];
      } catch (error) {
        if (!failing.has(name)) options.logger?.warn({ err: error, check: name }, "readiness check failed");
        failing.add(name);
        return [name, "failed"];
      } finally {
        clearTimeout(timer);
      }
    }),
  );
  return Object.fromEntries(results);
}

function json(status: number, body: object): Reply {
  return { status, type: "application/json", body: `${JSON.stringify(body)}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, body }: Reply): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
