import type { IncomingMessage } from "node:http";

const MAX_BYTES = 16_384;
const methods: ReadonlySet<string | undefined> = new Set(["POST", "PUT", "PATCH"]);

/** The form in a request's body, URL-encoded (E-11). Undefined where there is none, or one that is too long. */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const [type] = (request.headers["content-type"] ?? "").split(";");
  if (request.headers.upgrade !== undefined || !methods.has(request.method)) return undefined;
  if (type?.trim().toLowerCase() !== "application/x-www-form-urlencoded") return undefined;
  let text = "";
  try {
    for await (const chunk of request.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
      text += String(chunk);
      if (text.length > MAX_BYTES) return undefined;
    }
  } catch {
    return undefined; // its sender is gone
  }
  return new URLSearchParams(text);
}
