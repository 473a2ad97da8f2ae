import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { build } from "esbuild";

/** A web site of its own origin, with the page whose calls are tested. */
export interface PageServer {
  readonly origin: string;
  /** Must be given before the first visit. */
  certify(identity: { readonly cert: string; readonly key: string }): void;
  close(): Promise<void>;
}

/** Starts one on a free port. */
export async function startPageServer(script: string): Promise<PageServer> {
  const server = createServer((request, response) => {
    const [type, body] =
      request.url === "/page.js" ? ["text/javascript", script] : ["text/html", '<script src="page.js"></script>'];
    response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    origin: `https://127.0.0.1:${port}`,
    certify: (identity) => server.setSecureContext(identity),
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

/** page.ts for a browser: what it exports is found in the global `sandgate`. */
export async function bundlePage(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [resolve(import.meta.dirname, "page.ts")],
    bundle: true,
    format: "iife",
    globalName: "sandgate",
    platform: "browser",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}
