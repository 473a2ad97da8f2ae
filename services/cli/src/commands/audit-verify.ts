import { readFileSync } from "node:fs";
import { AuditFault, type AuditHead } from "@sandgate/api/audit";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import type { ServiceName } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** Options of `sandgate audit verify`. */
export interface VerifyAuditOptions {
  /** A file that holds what an earlier `sandgate audit verify --json` printed. */
  readonly since?: string;
}

interface Finding {
  readonly service: ServiceName;
  readonly intact: boolean;
  /** Of an intact log its end, of a broken one the first record that is not as it was written. */
  readonly sequence: string;
  readonly hash?: string;
  readonly fault?: string;
}

const longestCheckMs = 3_600_000;

/**
 * `sandgate audit verify`: checks the audit log of every service against its chain of hashes. Exits with 1 when a record is not as it
 * was written, and names the first.
 */
export async function verifyAudit(context: CommandContext, options: VerifyAuditOptions): Promise<number> {
  const { output } = context;
  const expected = options.since === undefined ? {} : readHeads(options.since);
  const connection = new SuiteConnection(context.clientFile());
  const call = { signal: context.interruptions.signal, timeoutMs: longestCheckMs };
  const clients = {
    auth: connection.client("auth", AuthService),
    sandbox: connection.client("sandbox", SandboxService),
    policy: connection.client("policy", PolicyService),
  };
  const check = async (service: ServiceName): Promise<Finding> => {
    const { outcome } = await clients[service].verifyAuditLog({ expected: expected[service] }, call);
    switch (outcome.case) {
      case "intact":
        return { service, intact: true, sequence: String(outcome.value.sequence), hash: outcome.value.hash };
      case "broken": {
        const { sequence, fault } = outcome.value;
        return { service, intact: false, sequence: String(sequence), fault: AuditFault[fault].toLowerCase() };
      }
      case undefined:
        throw new TypeError(`${service} did not say what it found`);
    }
  };
  const findings = await Promise.all((["auth", "sandbox", "policy"] as const).map(check));
  connection.close();

  output.document({ logs: findings });
  output.line(
    formatTable(
      ["service", "log", "record", ""],
      findings.map(({ service, intact, sequence, hash, fault = "" }) => [
        service,
        intact ? output.colors.green("intact") : output.colors.red("broken"),
        sequence,
        hash ?? `${fault}: this is the first record that is not as it was written`,
      ]),
    ),
  );
  return findings.every(({ intact }) => intact) ? exitCodes.ok : exitCodes.failed;
}

/** The heads of the logs that were intact. */
function readHeads(file: string): Partial<Record<ServiceName, Pick<AuditHead, "sequence" | "hash">>> {
  const failure = (cause: unknown): CommandFailure =>
    new CommandFailure({
      message: `${file} does not hold what an earlier check has printed: ${cause instanceof Error ? cause.message : "it has no logs"}`,
      mend: "give the file that `sandgate audit verify --json` was written to",
      exitCode: exitCodes.usage,
    });
  try {
    const { logs } = JSON.parse(readFileSync(file, "utf8")) as { logs?: readonly Finding[] }; // checked below, and by the services
    if (!Array.isArray(logs)) throw new TypeError("it has no logs");
    return Object.fromEntries(
      (logs as readonly Finding[]).flatMap(({ service, intact, sequence, hash }) =>
        intact && hash !== undefined ? [[service, { sequence: BigInt(sequence), hash }]] : [],
      ),
    );
  } catch (cause) {
    throw failure(cause);
  }
}
