import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type AuditEvent, AuditEventSchema } from "@sandgate/api/audit";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import type { ServiceName } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** Options of `sandgate audit`. */
export interface AuditOptions {
  readonly sandbox?: string;
  readonly action?: string;
  readonly service?: ServiceName;
  readonly limit: number;
}

interface Entry {
  readonly service: ServiceName;
  readonly event: AuditEvent;
}

/** `sandgate audit`: the newest events of the services' audit logs, in order of time. NDJSON with `--json`. */
export async function printAudit(context: CommandContext, options: AuditOptions): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const sandboxId = await findSandboxId(connection, options.sandbox, signal);
  const clients = {
    auth: connection.client("auth", AuthService),
    sandbox: connection.client("sandbox", SandboxService),
    policy: connection.client("policy", PolicyService),
  };
  const read = async (service: ServiceName): Promise<readonly Entry[]> => {
    const entries: Entry[] = [];
    let pageToken = "";
    do {
      const page = await clients[service].listAuditEvents(
        {
          pageSize: Math.min(1000, options.limit - entries.length),
          pageToken,
          sandboxId,
          action: options.action ?? "",
        },
        { signal },
      );
      entries.push(...page.events.map((event) => ({ service, event })));
      pageToken = page.nextPageToken;
    } while (pageToken !== "" && entries.length < options.limit);
    return entries;
  };
  const services: readonly ServiceName[] =
    options.service === undefined ? ["auth", "sandbox", "policy"] : [options.service];
  const entries = (await Promise.all(services.map(read)))
    .flat()
    .sort(
      (left, right) => timeOf(left.event) - timeOf(right.event) || Number(left.event.sequence - right.event.sequence),
    );
  connection.close();

  for (const { service, event } of entries) output.event({ service, ...recordOf(event) });
  if (entries.length === 0) output.note("no events");
  else
    output.line(
      formatTable(
        ["time", "service", "action", "principal", "sandbox", "details"],
        entries.map(({ service, event }) => [
          new Date(timeOf(event)).toISOString(),
          service,
          event.action.endsWith("denied") ? output.colors.red(event.action) : event.action,
          escapeLine(event.principal),
          escapeLine(event.sandboxId),
          Object.entries(event.details)
            .map(([name, value]) => `${escapeLine(name)}=${escapeLine(value)}`)
            .join(" "),
        ]),
      ),
    );
  return exitCodes.ok;
}

/** The audit filter takes an id; a name is looked up first. */
async function findSandboxId(
  connection: SuiteConnection,
  sandbox: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  if (sandbox === undefined) return "";
  if (/^sbx-[a-z2-7]{20}$/.test(sandbox)) return sandbox;
  const found = await connection.client("sandbox", SandboxService).getSandbox({ sandbox }, { signal });
  return found.sandbox?.id ?? "";
}

function timeOf(event: AuditEvent): number {
  return event.time === undefined ? 0 : timestampMs(event.time);
}

function recordOf(event: AuditEvent): Record<string, unknown> {
  const json = messageJson(AuditEventSchema, event);
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
}
