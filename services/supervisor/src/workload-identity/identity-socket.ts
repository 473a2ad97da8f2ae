import { mkdirSync } from "node:fs";
import { chmod, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import type { PolicyService } from "@sandgate/api/policy";
import { type Client, type Reason, ServiceError } from "@sandgate/rpc";
import type { Logger } from "../logger.ts";
import type { Timers } from "../timers.ts";
import { RateLimit } from "./rate-limit.ts";

/** What the workload's own socket is made of. */
export interface IdentitySocketOptions {
  readonly sandboxId: string;
  /** Made if it is missing. Workloads see it, and nothing but the socket is in it. */
  readonly directory: string;
  readonly policy: Pick<Client<typeof PolicyService>, "permitTokenExchange">;
  readonly auth: Pick<Client<typeof AuthService>, "exchangeToken">;
  readonly timers: Pick<Timers, "now">;
  readonly logger: Logger;
}

/** The socket's name in its directory. */
export const identitySocketName = "identity.sock";

const exchangeTimeoutMs = 5_000;
/** At once, and then one a second: tokens live for minutes. */
const burst = 10;

/**
 * The socket on which a workload asks for proof of who it is: HTTP, `GET /token?audience=…`. It exists only while policy grants an
 * audience. What is granted here only tells what to offer: Policy is asked at every request. No credential of the supervisor is ever
 * answered: the one thing that can come out is a token that Auth has minted for that audience.
 */
export class IdentitySocket {
  readonly #options: IdentitySocketOptions;
  readonly #limit: RateLimit;
  #audiences: ReadonlySet<string> = new Set();
  #server: Server | undefined;
  #changing: Promise<void> = Promise.resolve();

  constructor(options: IdentitySocketOptions) {
    this.#options = options;
    this.#limit = new RateLimit({ burst, perSecond: 1, now: () => options.timers.now() });
    mkdirSync(options.directory, { recursive: true, mode: 0o755 });
  }

  /** Offers these audiences from now on: opens the socket for the first one, and takes it away with the last. */
  grant(audiences: readonly string[]): Promise<void> {
    this.#audiences = new Set(audiences);
    this.#changing = this.#changing
      .then(() => this.#adjust())
      .catch((cause: unknown) => {
        this.#options.logger.error("the workload's identity socket could not be changed", { fault: String(cause) });
      });
    return this.#changing;
  }

  /** Takes the socket away. */
  close(): Promise<void> {
    return this.grant([]);
  }

  async #adjust(): Promise<void> {
    const wanted = this.#audiences.size > 0;
    if (wanted === (this.#server !== undefined)) return;
    if (wanted) this.#server = await this.#listen();
    else await this.#stop();
  }

  async #listen(): Promise<Server> {
    const server = createServer(
      { maxHeaderSize: 8192, requestTimeout: 5_000, headersTimeout: 5_000 },
      (request, response) => {
        void this.#answer(request).then(
          (answer) => send(request, response, answer),
          (cause: unknown) => {
            this.#options.logger.error("a workload's request for its identity failed", { fault: String(cause) });
            response.destroy();
          },
        );
      },
    );
    server.maxConnections = 32;
    const path = join(this.#options.directory, identitySocketName);
    await unlink(path).catch(() => {}); // an earlier server's that did not end in order
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o666); // the workload may be another user than the supervisor; no one else sees the directory
    server.unref();
    this.#options.logger.info("workloads can ask for their identity");
    return server;
  }

  async #stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
    this.#options.logger.info("workloads cannot ask for their identity any more");
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const url = URL.parse(request.url ?? "", "http://identity");
    if (url?.pathname !== "/token") return refusal(404, "NOT_FOUND", "ask for /token?audience=AUDIENCE");
    if (request.method !== "GET") return { ...refusal(405, "METHOD_NOT_ALLOWED", "ask by GET"), allow: "GET" };
    const audiences = url.searchParams.getAll("audience");
    const [audience] = audiences;
    const format = url.searchParams.get("format") ?? "json";
    if (audience === undefined || audiences.length > 1)
      return refusal(400, "REQUEST_INVALID", "name one audience: /token?audience=AUDIENCE");
    const write = writers.get(format);
    if (write === undefined) return refusal(400, "REQUEST_INVALID", "a format is json, jwt or google");
    if (!this.#audiences.has(audience)) return this.#notGranted();
    const waitMs = this.#limit.take();
    if (waitMs > 0)
      return {
        ...refusal(429, "RATE_LIMITED", "tokens live for minutes: keep the one that you have"),
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      };
    try {
      return write(await this.#exchange(audience));
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
      if (cause.reason === "AUDIENCE_NOT_GRANTED") return this.#notGranted();
      this.#options.logger.warn("no identity for the workload", { reason: cause.reason });
      const status = passing.has(cause.reason) ? 503 : 502;
      return refusal(status, cause.reason, "the control plane gave no token; try again");
    }
  }

  async #exchange(audience: string): Promise<Token> {
    const { sandboxId, policy, auth } = this.#options;
    const options = { timeoutMs: exchangeTimeoutMs };
    const { permit } = await policy.permitTokenExchange({ sandboxId, audience }, options);
    const { token, expireTime } = await auth.exchangeToken({ sandboxId, audience, permit }, options);
    return { token, audience, expireTime };
  }

  #notGranted(): Answer {
    const granted = [...this.#audiences];
    return refusal(403, "AUDIENCE_NOT_GRANTED", "the sandbox's policy does not grant this audience", { granted });
  }
}

interface Token {
  readonly token: string;
  readonly audience: string;
  readonly expireTime: Timestamp | undefined;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly allow?: string;
  readonly retryAfterSeconds?: number;
}

/** The shapes that clients can ask for: our own, the token alone, and that of Google's executable-sourced credentials. */
const writers: ReadonlyMap<string, (token: Token) => Answer> = new Map([
  [
    "json",
    ({ token, audience, expireTime }: Token) =>
      json(200, {
        token,
        audience,
        ...(expireTime === undefined ? {} : { expires_at: new Date(timestampMs(expireTime)).toISOString() }),
      }),
  ],
  ["jwt", ({ token }: Token) => ({ status: 200, type: "application/jwt", body: token })],
  [
    "google",
    ({ token, expireTime }: Token) =>
      json(200, {
        version: 1,
        success: true,
        token_type: "urn:ietf:params:oauth:token-type:jwt",
        id_token: token,
        ...(expireTime === undefined ? {} : { expiration_time: Number(expireTime.seconds) }),
      }),
  ],
]);

const passing: ReadonlySet<Reason> = new Set(["UNAVAILABLE", "TRUST_UNAVAILABLE", "DEADLINE_EXCEEDED"]);

function refusal(status: number, error: string, message: string, more: object = {}): Answer {
  return json(status, { error, message, ...more });
}

function json(status: number, value: object): Answer {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  request.resume(); // a body has no meaning here
  response.writeHead(answer.status, {
    "content-type": answer.type,
    "content-length": Buffer.byteLength(answer.body),
    "cache-control": "no-store",
    connection: "close",
    ...(answer.allow === undefined ? {} : { allow: answer.allow }),
    ...(answer.retryAfterSeconds === undefined ? {} : { "retry-after": String(answer.retryAfterSeconds) }),
  });
  response.end(answer.body);
}
