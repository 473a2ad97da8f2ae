import type { EndpointMessage } from "./provider-message.ts";
import type { Authority } from "./wire-host.ts";

/**
 * Whether a request to this destination and path is one that the endpoint, in canonical form, stands for. Below a path it takes no
 * spelling that an origin could read as another path: dot segments, also escaped or with parameters, escaped slashes, backslashes and
 * percent signs, and empty segments.
 */
export function endpointCovers(
  endpoint: Pick<EndpointMessage, "host" | "port" | "path">,
  destination: Authority,
  target: string,
): boolean {
  const { host, port } = destination;
  if (host.kind !== "name" || host.text !== endpoint.host || port !== endpoint.port) return false;
  if (endpoint.path === "/") return true;
  const path = target.split("?", 1)[0] ?? "";
  if (path !== endpoint.path && !path.startsWith(`${endpoint.path}/`)) return false;
  return !/%(?:2e|2f|5c|25|00)|\\|\/\/|\/\.{1,2}(?:[/;]|$)/i.test(path);
}
