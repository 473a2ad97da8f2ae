import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

const MAX_BYTES = 1024 * 1024;

/**
 * What a server answers to GET, which must be 200 and JSON of at most 1 MiB. Follows no redirect: what is asked is what is trusted.
 * Rejects with an Error that names no content; `signal` bounds all of it, a server that sends one byte at a time too.
 */
export async function fetchJson(
  url: URL,
  options: {
    readonly signal: AbortSignal;
    /** PEM; undefined: the machine's own authorities. */
    readonly ca: string | undefined;
  },
): Promise<unknown> {
  const { signal, ca } = options;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const headers = { accept: "application/json" };
    send(url, { signal, headers, agent: false, ...(ca !== undefined && { ca }) }, resolve)
      .on("error", reject)
      .end();
  });
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`the answer has the status ${response.statusCode}`);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_BYTES) throw new Error("the answer is too large");
    chunks.push(bytes);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new Error("the answer is not JSON");
  }
}
