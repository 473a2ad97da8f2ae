import { createHash, randomBytes } from "node:crypto";
import { type IncomingMessage, request } from "node:http";
import { request as requestSecurely } from "node:https";
import type { Duplex } from "node:stream";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const SUBPROTOCOL = "net.measurementlab.envelope";
const OPEN_MS = 30_000;
const MAX_BODY = 1_024;

/** An envelope that may let this machine in. */
export interface EnvelopeTarget {
  /** http or https; without a path the usual one. */
  readonly url: URL;
  /** Undefined where it stands in the URL. */
  readonly token: string | undefined;
  /** PEM; undefined: the machine's own authorities. */
  readonly ca: string | undefined;
}

/** A window in which the envelope lets this machine in. */
export interface EnvelopeWindow {
  /** When the envelope has ended it. */
  readonly ended: Promise<void>;
  /** Ends it. */
  close(): void;
}

/**
 * The URL of an envelope, from what a user or a locator wrote: ws and wss are http and https. Refuses plain http to another machine, unless
 * `insecure`, for who is on the way could use the token.
 */
export function parseEnvelopeUrl(text: string, { insecure }: { readonly insecure: boolean }): URL {
  const url = URL.parse(text.replace(/^ws(?=s?:)/i, "http"));
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    throw usageFailure("this is no URL of an envelope", "https://host:4443");
  const isLoopback = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname);
  if (url.protocol === "http:" && !isLoopback && !insecure)
    throw usageFailure("over plain http whoever is on the way can use the token", "use https, or say --insecure");
  if (url.pathname === "/") url.pathname = "/v0/envelope/access";
  return url;
}

/** Asks to be let in. Rejects with CommandFailure, which says what the envelope said, and never the token. */
export async function openEnvelope(
  target: EnvelopeTarget,
  { signal }: { readonly signal: AbortSignal },
): Promise<EnvelopeWindow> {
  const key = randomBytes(16).toString("base64");
  const { url, token, ca } = target;
  const { promise, resolve, reject } = Promise.withResolvers<EnvelopeWindow>();
  const asked = (url.protocol === "https:" ? requestSecurely : request)(url, {
    agent: false,
    signal: AbortSignal.any([signal, AbortSignal.timeout(OPEN_MS)]),
    ...(ca !== undefined && { ca }),
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": key,
      "sec-websocket-protocol": SUBPROTOCOL,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
  });
  asked.on("upgrade", (response, socket) => {
    const accept = createHash("sha1").update(`${key}${MAGIC}`).digest("base64");
    if (response.headers["sec-websocket-accept"] === accept) resolve(holdWindow(socket));
    else {
      socket.destroy();
      reject(failure(url, "what answers there is no envelope", exitCodes.unavailable));
    }
  });
  asked.on("response", (response) => {
    readRefusal(response).then((word) => reject(refused(url, response, word)), reject);
  });
  asked.on("error", (cause: NodeJS.ErrnoException) => {
    reject(failure(url, `it cannot be reached (${cause.code ?? cause.name})`, exitCodes.unavailable, cause));
  });
  asked.end();
  return await promise;
}

function holdWindow(socket: Duplex): EnvelopeWindow {
  const ended = new Promise<void>((resolve) => {
    for (const event of ["close", "end", "error"] as const) socket.once(event, () => resolve());
    socket.once("data", () => resolve()); // all that an envelope ever says is its close frame
  });
  return { ended: ended.then(() => void socket.destroy()), close: () => socket.destroy() };
}

async function readRefusal(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > MAX_BODY) break;
  }
  return escapeLine(text.slice(0, MAX_BODY).trim().split("\n")[0] ?? "");
}

function refused(url: URL, { statusCode = 0, headers }: IncomingMessage, word: string): CommandFailure {
  const exitCode = statusCode === 429 || statusCode >= 500 ? exitCodes.unavailable : exitCodes.denied;
  const retryAfter = /^\d+$/.exec(headers["retry-after"] ?? "")?.[0];
  const mend = retryAfter === undefined ? undefined : `ask again in ${retryAfter} s`;
  return failure(url, `it refused with ${statusCode}${word === "" ? "" : ` (${word})`}`, exitCode, undefined, mend);
}

function failure(url: URL, what: string, exitCode: number, cause?: Error, mend?: string): CommandFailure {
  const message = `the envelope at ${url.host} does not let this machine in: ${what}`;
  return new CommandFailure({ message, exitCode, ...(mend !== undefined && { mend }) }, { cause });
}
