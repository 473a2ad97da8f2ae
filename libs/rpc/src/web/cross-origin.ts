import { cors } from "@connectrpc/connect";

const allowedHeaders = [...cors.allowedHeaders, "authorization"].join(", ");
const exposedHeaders = cors.exposedHeaders.join(", ");

/**
 * What a browser may be told about a request of a page (Fetch standard, CORS protocol), by the page's origin; undefined
 * when the request must be refused: any origin that is not on the list, "null" among them. A request without an origin is
 * not one that a page's script could send with a body. Credentials are never allowed: a call counts by its bearer token alone.
 */
export function crossOriginHeaders(
  origin: string | undefined,
  allowedOrigins: ReadonlySet<string>,
): Readonly<Record<string, string>> | undefined {
  if (origin === undefined) return { vary: "origin" };
  if (!allowedOrigins.has(origin)) return undefined;
  return { vary: "origin", "access-control-allow-origin": origin, "access-control-expose-headers": exposedHeaders };
}

/** What a browser is told before it sends a request of an allowed origin. */
export const preflightHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-methods": "POST",
  "access-control-allow-headers": allowedHeaders,
  "access-control-max-age": "7200",
};
