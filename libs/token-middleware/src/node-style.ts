import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { TokenCheck } from "./token-check.ts";

/**
 * Middleware for `node:http`, Express and their like. Calls `next` for a request with a good token, without an argument, and answers every
 * other request itself; `check.tokenOf(request)` then says what the token says.
 */
export function nodeStyle(
  check: TokenCheck<Socket>,
): (request: IncomingMessage, response: ServerResponse, next: () => void) => void {
  return (request, response, next) => {
    const presented = {
      authorization: fieldOf(request, "authorization"),
      containerId: fieldOf(request, "x-container-id"),
    };
    void check.judge(presented, request.socket).then((verdict) => {
      if (verdict.outcome === "accepted") {
        check.remember(request, verdict.token);
        next();
        return;
      }
      const { status, headers, body } = verdict.refusal;
      response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
    });
  };
}

/** Every line of that name: `request.headers` keeps the first of two Authorization lines and says nothing of the other. */
function fieldOf({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  const values = rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
  return values.length === 0 ? undefined : values.join(", ");
}
