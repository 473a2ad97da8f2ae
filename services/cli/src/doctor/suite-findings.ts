import { SandboxService } from "@sandgate/api/sandbox";
import type { ClientFile } from "../client-file.ts";
import { describeFailure } from "../describe-failure.ts";
import { SuiteConnection } from "../suite-connection.ts";
import type { Finding } from "./finding.ts";

/** What the running suite's driver enforces here, and what not. */
export async function suiteFindings(file: ClientFile, signal: AbortSignal): Promise<readonly Finding[]> {
  const connection = new SuiteConnection(file);
  try {
    const { driver, guarantees, gaps } = await connection
      .client("sandbox", SandboxService)
      .getIsolation({}, { signal, timeoutMs: 10_000 });
    return [
      ...guarantees.map((message): Finding => ({ name: `${driver} driver`, level: "ok", message })),
      ...gaps.map(
        ({ name, mend }): Finding => ({
          name: `${driver} driver`,
          level: name === "isolation" ? "fail" : "warn",
          message: name === "isolation" ? "sandboxes cannot run" : `not enforced: ${name}`,
          mend,
        }),
      ),
    ];
  } catch (error) {
    const { message, mend } = await describeFailure(error);
    return [
      {
        name: "suite",
        level: "warn",
        message: `the suite does not say what it enforces: ${message}`,
        ...(mend === undefined ? {} : { mend }),
      },
    ];
  } finally {
    connection.close();
  }
}
