/** The head of an HTTP/1.1 request to a proxy, as far as a forwarder must understand it. */
export interface RequestHead {
  readonly kind: "connect" | "forward" | "upgrade";
  /** How many bytes of body follow; "chunked" where only the origin can tell. */
  readonly body: number | "chunked";
  /** The request line and the headers to pass on: no credential, nothing about connections. */
  readonly lines: readonly string[];
}

/** The head is not one that a proxy may act on. */
export class MalformedHead extends Error {
  override readonly name = "MalformedHead";
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const target = /^[\x21-\x7e]+$/;
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Headers that the workload may not send past the forwarder: credentials for the proxy, and what only the proxy says. */
const removed = /^(proxy-.*|connection|keep-alive|x-sandgate-.*|x-deny-.*|x-container-.*|x-jwt-.*|sandgate-.*)$/;

/**
 * Reads a request head: the bytes before the empty line, as latin1. Throws MalformedHead for anything that two readers could
 * understand in two ways (RFC 9112: bare CR or LF, folding, blanks before a colon, two lengths).
 */
export function parseRequestHead(text: string): RequestHead {
  const [requestLine = "", ...fields] = text.split("\r\n");
  const [method = "", uri = "", version = "", ...rest] = requestLine.split(" ");
  if (rest.length > 0 || !token.test(method) || !target.test(uri) || !/^HTTP\/1\.[01]$/.test(version))
    throw new MalformedHead("request line");
  const kept: string[] = [];
  const lengths: string[] = [];
  const encodings: string[] = [];
  let upgrade = false;
  for (const field of fields) {
    const colon = field.indexOf(":");
    const name = field.slice(0, Math.max(colon, 0));
    const value = field.slice(colon + 1).trim();
    if (!token.test(name) || !fieldValue.test(value)) throw new MalformedHead("header");
    const lower = name.toLowerCase();
    if (lower === "content-length") lengths.push(value);
    if (lower === "transfer-encoding") encodings.push(value.toLowerCase());
    if (lower === "upgrade") upgrade = value.toLowerCase() === "websocket";
    else if (!removed.test(lower)) kept.push(`${name}: ${value}`);
  }
  const body = bodyOf(lengths, encodings);
  const connect = method === "CONNECT";
  if (!connect && !/^[a-z][a-z0-9+.-]*:\/\//i.test(uri)) throw new MalformedHead("request target");
  if (connect && body !== 0) throw new MalformedHead("body");
  // Only a WebSocket is upgraded: nothing else that a connection may turn into can be told from a second request.
  const kind = connect ? "connect" : upgrade && body === 0 ? "upgrade" : "forward";
  if (kind === "upgrade") kept.push("Upgrade: websocket");
  return { kind, body, lines: [`${method} ${uri} HTTP/1.1`, ...kept] };
}

/** The status of a response head; undefined when it is none. */
export function parseStatus(text: string): number | undefined {
  const status = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: |\r\n|$)/.exec(text)?.[1];
  return status === undefined ? undefined : Number(status);
}

function bodyOf(lengths: readonly string[], encodings: readonly string[]): RequestHead["body"] {
  if (encodings.length > 0) {
    if (lengths.length > 0 || encodings.length > 1 || encodings[0] !== "chunked") throw new MalformedHead("body");
    return "chunked";
  }
  const [length] = lengths;
  if (length === undefined) return 0;
  if (lengths.length > 1 || !/^[0-9]{1,15}$/.test(length)) throw new MalformedHead("body");
  return Number(length);
}
