import type { IncomingHttpHeaders } from "node:http";
import type { Refusal } from "../domain/refusal.ts";

/** The subprotocol that M-Lab's clients speak, which is silence. */
export const envelopeSubprotocol = "net.measurementlab.envelope";
/** With a token behind it: an offer of a subprotocol that is never chosen, for browsers, which can send no header of their own. */
const BEARER_SUBPROTOCOL = "sandgate.bearer.";

/** The subprotocols that a client offers. */
export function offeredSubprotocols(headers: IncomingHttpHeaders): readonly string[] {
  return (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
}

/**
 * The one token of a request: from `Authorization: Bearer`, an offered subprotocol `sandgate.bearer.<token>`, or, if `query` allows it,
 * `access_token` in the URL, of which the first counts (E-11). A URL is written into logs and histories: without `query` a token in one is
 * refused, not overlooked, so that its owner hears of it (EW-11).
 */
export function findToken(
  request: { readonly headers: IncomingHttpHeaders; readonly query: URLSearchParams },
  allowed: { readonly query: boolean },
): { readonly token: string } | { readonly refusal: Refusal } {
  const inQuery = request.query.get("access_token");
  if (inQuery !== null && !allowed.query) return { refusal: "token_in_query" };
  const authorization = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  const offered = offeredSubprotocols(request.headers)
    .filter((name) => name.startsWith(BEARER_SUBPROTOCOL))
    .map((name) => name.slice(BEARER_SUBPROTOCOL.length));
  const tokens = [...(authorization === undefined ? [] : [authorization]), ...offered, ...(inQuery ? [inQuery] : [])];
  const [token] = tokens;
  if (token === undefined) return { refusal: "token_missing" };
  return tokens.length > 1 ? { refusal: "token_several" } : { token };
}
