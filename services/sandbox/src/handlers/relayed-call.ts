import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OpenExecSchema } from "@sandgate/api/sandbox";

/** What the supervisor is to do: the caller's request, as he made it. */
export type RelayedCall = Omit<MessageInitShape<typeof OpenExecSchema>, "$typeName" | "execId">;

/** What the audit log says of a call into a sandbox. Never what a command is given: its arguments may be secrets. */
export interface RelayedRecord {
  readonly action: string;
  readonly details: Readonly<Record<string, string>>;
}

/** The record of a call that does something in a sandbox, or brings something out of it; undefined for those that only look. */
export function recordOfCall({ start, operation }: RelayedCall): RelayedRecord | undefined {
  switch (operation?.case) {
    case "startProcess": {
      const { requestId = "", start: started } = operation.value;
      return record("process_started", { program: started?.command?.[0] ?? "", request_id: requestId });
    }
    case "attachProcess": {
      const { message } = operation.value;
      return record("process_attached", {
        process_id: message?.case === "attach" ? (message.value.processId ?? "") : "",
      });
    }
    case "writeProcessInput":
      return record("process_written", { process_id: operation.value.processId ?? "" });
    case "signalProcess": {
      const { processId = "", signal = "" } = operation.value;
      return record("process_signalled", { process_id: processId, signal });
    }
    case "readFile":
      return record("file_read", { path: operation.value.path ?? "" });
    case "writeFile": {
      const { part } = operation.value;
      return record("file_written", { path: part?.case === "start" ? (part.value.path ?? "") : "" });
    }
    case "readArchive":
      return record("archive_read", { path: operation.value.path ?? "" });
    case "writeArchive": {
      const { part } = operation.value;
      return record("archive_written", { path: part?.case === "start" ? (part.value.path ?? "") : "" });
    }
    case "connectPort": {
      const { message } = operation.value;
      return record("port_connected", { port: message?.case === "port" ? String(message.value) : "" });
    }
    case "waitProcess":
    case "listProcesses":
    case "listFiles":
      return undefined;
    case undefined:
      return record("command_run", { program: start?.command?.[0] ?? "" });
  }
}

function record(action: string, details: Readonly<Record<string, string>>): RelayedRecord {
  return { action: `sandbox.${action}`, details };
}
