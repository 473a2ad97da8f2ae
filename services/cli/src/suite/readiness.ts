import { request } from "node:http";

/** What a program's admin listener says of it. */
export interface Readiness {
  readonly state: "ready" | "not ready" | "no answer";
  /** Each named check. */
  readonly checks: Readonly<Record<string, string>>;
}

/** Asks a program's admin listener whether it is ready. Never throws. */
export function readReadiness(adminPort: number, timeoutMs: number): Promise<Readiness> {
  return new Promise((resolve) => {
    const none: Readiness = { state: "no answer", checks: {} };
    const asking = request(
      { host: "127.0.0.1", port: adminPort, path: "/readyz", timeout: timeoutMs, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("error", () => resolve(none));
        response.on("end", () =>
          resolve({ state: response.statusCode === 200 ? "ready" : "not ready", checks: parseChecks(text) }),
        );
      },
    );
    asking.on("timeout", () => asking.destroy());
    asking.on("error", () => resolve(none));
    asking.on("close", () => resolve(none)); // after "end" it changes nothing
    asking.end();
  });
}

function parseChecks(text: string): Record<string, string> {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document !== "object" || document === null || !("checks" in document)) return {};
    const { checks } = document;
    if (typeof checks !== "object" || checks === null) return {};
    return Object.fromEntries(
      Object.entries(checks).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  } catch {
    return {};
  }
}
