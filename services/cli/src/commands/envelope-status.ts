import { fetchJson } from "@sandgate/identity/remote-keys";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { formatTable } from "../table.ts";

const READ_MS = 5_000;
const columns = ["addresses", "endTime", "issuer", "subject", "id"] as const;

/** Options of `sandgate envelope status`. */
export interface EnvelopeStatusOptions {
  readonly adminPort: number;
}

/** `sandgate envelope status`: who is in, until when, and by whose word. */
export async function showEnvelopeStatus(
  context: CommandContext,
  { adminPort }: EnvelopeStatusOptions,
): Promise<number> {
  const { output, interruptions } = context;
  const signal = AbortSignal.any([interruptions.signal, AbortSignal.timeout(READ_MS)]);
  const status = await fetchJson(new URL(`http://127.0.0.1:${adminPort}/leases`), { signal, ca: undefined }).catch(
    (cause: unknown) => {
      throw notThere(adminPort, cause);
    },
  );
  if (!isStatus(status)) throw notThere(adminPort);
  output.document(status);
  if (status.leases.length === 0) output.note("nobody is in");
  else
    output.line(
      formatTable(
        ["addresses", "until", "issuer", "subject", "id"],
        status.leases.map((lease) => columns.map((column) => escapeLine(String(lease[column])))),
      ),
    );
  return exitCodes.ok;
}

interface Status {
  readonly leases: readonly Readonly<Record<string, unknown>>[];
}

function isStatus(value: unknown): value is Status {
  return typeof value === "object" && value !== null && "leases" in value && Array.isArray(value.leases);
}

function notThere(port: number, cause?: unknown): CommandFailure {
  const report = {
    message: `no envelope answers on 127.0.0.1:${port}`,
    mend: "name the port that its configuration has as admin.port",
    exitCode: exitCodes.unavailable,
  };
  return new CommandFailure(report, { cause });
}
