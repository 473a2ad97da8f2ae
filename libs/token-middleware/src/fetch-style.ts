import type { ContainerToken } from "./container-token.ts";
import type { TokenCheck } from "./token-check.ts";

/**
 * Middleware for handlers of the Fetch API: answers the refusal, or undefined for a request with a good token, of which
 * `check.tokenOf(request)` then says what it says. The connection is whatever the check's options read it from.
 */
export function fetchStyle<Connection>(
  check: TokenCheck<Connection>,
): (request: Request, connection: Connection) => Promise<Response | undefined> {
  return async (request, connection) => {
    const presented = {
      authorization: request.headers.get("authorization") ?? undefined,
      containerId: request.headers.get("x-container-id") ?? undefined,
    };
    const verdict = await check.judge(presented, connection);
    if (verdict.outcome === "refused") {
      const { status, headers, body } = verdict.refusal;
      return new Response(body, { status, headers });
    }
    check.remember(request, verdict.token);
    return undefined;
  };
}

/** A handler of the Fetch API that only requests with a good token reach. */
export function guardFetch<Connection>(
  check: TokenCheck<Connection>,
  handler: (request: Request, token: ContainerToken, connection: Connection) => Response | Promise<Response>,
): (request: Request, connection: Connection) => Promise<Response> {
  const refuse = fetchStyle(check);
  return async (request, connection) => {
    const refusal = await refuse(request, connection);
    if (refusal !== undefined) return refusal;
    const token = check.tokenOf(request);
    if (token === undefined) throw new Error("a request without its token");
    return handler(request, token, connection);
  };
}
