import { type Authority, httpMethods, parseWireAuthority } from "@sandgate/policy";
import { Refusal } from "../decision/refusal.ts";
import { type BodyFraming, readFraming } from "./body-framing.ts";
import { HeaderFields } from "./header-fields.ts";

/** A request that was read strictly: every part of it has one meaning. */
export interface ProxyRequest {
  readonly method: string;
  readonly version: "1.0" | "1.1";
  readonly fields: HeaderFields;
  readonly destination: Authority;
  /** What the origin is asked for; undefined for CONNECT. */
  readonly path: string | undefined;
  readonly framing: BodyFraming;
  /** Whether the client lets the connection be used again. */
  readonly keepAlive: boolean;
  /** Whether the client asks for a WebSocket. Other upgrades are not passed on. */
  readonly webSocket: boolean;
}

/**
 * Reads the lines of a request head. To the proxy itself only CONNECT and absolute-form `http:` targets are requests; with
 * a `tunnel` the request came inside a CONNECT to that authority, and may name no other. Throws Refusal.
 */
export function parseRequest(lines: readonly string[], tunnel?: Authority): ProxyRequest {
  const [requestLine = "", ...fieldLines] = lines;
  const { method, target, version } = parseRequestLine(requestLine);
  const fields = HeaderFields.parse(fieldLines);
  const { destination, path } =
    tunnel === undefined ? readTarget(method, target) : readInnerTarget(method, target, tunnel);
  requireHost(fields, version, destination, method, tunnel !== undefined);
  const framing = readFraming(fields, version);
  if (method === "CONNECT" && framing !== undefined) throw Refusal.malformed("a tunnel has no body");
  requireNoNomination(fields);
  requireExpectation(fields);
  const connection = fields.tokens("connection");
  const upgrades = connection.includes("upgrade") ? fields.values("upgrade") : [];
  return {
    method,
    version,
    fields,
    destination,
    path,
    framing: framing ?? { kind: "none" },
    keepAlive:
      version === "1.1" && !connection.includes("close") && !fields.tokens("proxy-connection").includes("close"),
    webSocket:
      method === "GET" && version === "1.1" && upgrades.length === 1 && upgrades[0]?.toLowerCase() === "websocket",
  };
}

function parseRequestLine(line: string): { method: string; target: string; version: "1.0" | "1.1" } {
  const [, method = "", target = "", version = ""] = /^([A-Z-]+) ([\x21-\x7e]+) (HTTP\/[0-9]\.[0-9])$/.exec(line) ?? [];
  if (!httpMethods.has(method)) throw Refusal.malformed("the request line is not one of HTTP/1.1");
  switch (version) {
    case "HTTP/1.1":
      return { method, target, version: "1.1" };
    case "HTTP/1.0":
      return { method, target, version: "1.0" };
    default:
      throw Refusal.fault(505, "version_not_supported", "only HTTP/1.1 and HTTP/1.0 are served");
  }
}

interface Target {
  readonly destination: Authority;
  readonly path: string | undefined;
}

function readTarget(method: string, target: string): Target {
  if (method === "CONNECT") {
    const destination = parseWireAuthority(target);
    if (destination === undefined) throw Refusal.malformed("a CONNECT target is host:port");
    return { destination, path: undefined };
  }
  return readAbsoluteForm(method, target);
}

function readAbsoluteForm(method: string, target: string): Target {
  const [, scheme = "", authority = "", rest = ""] =
    /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#\\]*)([^#\\]*)$/.exec(target) ?? [];
  if (scheme.toLowerCase() !== "http") throw Refusal.malformed("a target is http://host/path, or CONNECT host:port");
  const destination = parseWireAuthority(authority, 80);
  if (destination === undefined) throw Refusal.malformed("the target has no valid host");
  if (rest === "") return { destination, path: method === "OPTIONS" ? "*" : "/" };
  return { destination, path: rest.startsWith("/") ? rest : `/${rest}` };
}

function readInnerTarget(method: string, target: string, tunnel: Authority): Target {
  if (method === "CONNECT") throw Refusal.malformed("a tunnel inside a tunnel");
  if (/^\/[^#\\]*$/.test(target) || (method === "OPTIONS" && target === "*"))
    return { destination: tunnel, path: target };
  const absolute = readAbsoluteForm(method, target);
  if (!sameAuthority(absolute.destination, tunnel))
    throw Refusal.denied("host_not_allowed", "a request inside a tunnel names another host than the tunnel");
  return { destination: tunnel, path: absolute.path };
}

/** One Host field (none only in HTTP/1.0), which names the same destination as the target. */
function requireHost(
  fields: HeaderFields,
  version: "1.0" | "1.1",
  destination: Authority,
  method: string,
  inTunnel: boolean,
): void {
  const written = fields.single("host");
  if (written === undefined) {
    if (version === "1.0") return;
    throw Refusal.malformed("host is missing");
  }
  // Clients leave the port of a tunnel out of Host; in a request it has its meaning.
  const host = parseWireAuthority(written, method === "CONNECT" ? destination.port : 80);
  if (host === undefined) throw Refusal.malformed("host is not a valid host");
  if (sameAuthority(host, destination)) return;
  throw inTunnel
    ? Refusal.denied("host_not_allowed", "a request inside a tunnel names another host than the tunnel")
    : Refusal.malformed("host differs from the target");
}

function sameAuthority(one: Authority, other: Authority): boolean {
  return one.port === other.port && one.host.kind === other.host.kind && one.host.text === other.host.text;
}

/** End-to-end fields that a client must not have removed by naming them in Connection. */
const notNominable: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "expect",
  "host",
  "max-forwards",
  "proxy-authorization",
  "range",
  "transfer-encoding",
  "via",
]);

function requireNoNomination(fields: HeaderFields): void {
  if (fields.tokens("connection").some((name) => notNominable.has(name)))
    throw Refusal.malformed("connection names an end-to-end field");
}

function requireExpectation(fields: HeaderFields): void {
  const expectation = fields.single("expect");
  if (expectation !== undefined && expectation.toLowerCase() !== "100-continue")
    throw Refusal.fault(417, "expectation_failed", "only 100-continue can be expected");
}
