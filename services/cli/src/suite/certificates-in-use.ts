import { request } from "node:http";

/** Has a program read its certificates again, by its admin listener; answers those in use. Rejects when it does not answer so. */
export function readCertificatesInUse(
  adminPort: number,
  timeoutMs: number,
): Promise<{ readonly certificate?: string; readonly authorities: readonly string[] }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ authorities: string[]; certificate?: string }>();
  const asking = request(
    { host: "127.0.0.1", port: adminPort, path: "/certificates", timeout: timeoutMs, agent: false },
    (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        try {
          if (response.statusCode !== 200) throw new Error(`the program answers ${response.statusCode}`);
          resolve(parse(JSON.parse(text)));
        } catch (fault) {
          reject(fault);
        }
      });
    },
  );
  asking.on("timeout", () => asking.destroy(new Error("the program does not answer")));
  asking.on("error", reject);
  asking.end();
  return promise;
}

function parse(document: unknown): { authorities: string[]; certificate?: string } {
  if (typeof document !== "object" || document === null || !("authorities" in document))
    throw new TypeError("the program does not say which certificates it uses");
  const { authorities } = document;
  const certificate = "certificate" in document ? document.certificate : undefined;
  return {
    authorities: Array.isArray(authorities) ? authorities.filter((one) => typeof one === "string") : [],
    ...(typeof certificate === "string" ? { certificate } : {}),
  };
}
