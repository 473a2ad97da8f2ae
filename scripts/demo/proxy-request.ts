import { connect } from "node:net";

/** What the egress proxy answered. */
export interface ProxyAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends one GET for a URL to an egress socket, as a supervisor's forwarder would, with this token. Throws where there is no answer. */
export function requestThroughProxy(options: {
  readonly socket: string;
  readonly url: string;
  readonly token: string;
}): Promise<ProxyAnswer> {
  const url = new URL(options.url);
  return new Promise((resolve, reject) => {
    const connection = connect(options.socket);
    let text = "";
    connection.setEncoding("latin1");
    connection.setTimeout(5_000, () => connection.destroy(new Error("the proxy does not answer")));
    connection.on("data", (chunk: string) => {
      text += chunk;
    });
    connection.on("error", reject);
    connection.on("close", () => {
      const answer = parseAnswer(text);
      if (answer === undefined) reject(new Error("the proxy closed the connection without an answer"));
      else resolve(answer);
    });
    connection.write(
      [
        `GET ${url.href} HTTP/1.1`,
        `host: ${url.host}`,
        `proxy-authorization: Bearer ${options.token}`,
        "connection: close",
        "",
        "",
      ].join("\r\n"),
    );
  });
}

function parseAnswer(text: string): ProxyAnswer | undefined {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...fields] = text.slice(0, end).split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3})/.exec(first)?.[1];
  if (end < 0 || status === undefined) return undefined;
  const headers = fields.map((field): [string, string] => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
  });
  return { status: Number(status), headers: Object.fromEntries(headers), body: text.slice(end + 4) };
}
