import { closeSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Process, ProcessSchema } from "@sandgate/api/sandbox";
import { openPlainFile } from "./kept-output.ts";
import { namesIn } from "./names-in.ts";

/** What is kept of a process beside its output. */
export interface ProcessRecord {
  /** Of StartProcess. */
  readonly requestId: string;
  /** What the request was, so that another one under the same id is found out. */
  readonly requestHash: string;
  readonly process: Process;
}

/** Larger ones are not a supervisor's. */
const mostBytes = 512 * 1024;
/** Twice 64: those that run, and those that have ended. */
const mostRecords = 128;

/** The records in a supervisor's directory: `<process id>.json` beside the output's files. */
export class ProcessRecords {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Writes one whole or not at all. */
  write({ requestId, requestHash, process }: ProcessRecord): void {
    const path = this.#path(process.processId);
    writeFileSync(`${path}.new`, JSON.stringify({ requestId, requestHash, process: toJson(ProcessSchema, process) }), {
      mode: 0o600,
    });
    renameSync(`${path}.new`, path);
  }

  /** Removes a record and the output of its process. */
  remove(processId: string): void {
    if (!isProcessId(processId)) throw new TypeError("not a process id");
    for (const name of namesIn(this.directory))
      if (name.startsWith(`${processId}.`)) rmSync(join(this.directory, name), { force: true });
  }

  /** One record; undefined where there is none that can be read. */
  find(processId: string): ProcessRecord | undefined {
    return isProcessId(processId) ? readRecord(this.#path(processId), processId) : undefined;
  }

  /** All that can be read, the oldest first. Empty where there is no such directory. */
  list(): readonly ProcessRecord[] {
    return namesIn(this.directory)
      .filter((name) => name.endsWith(".json"))
      .slice(0, mostRecords)
      .flatMap((name) => this.find(name.slice(0, -".json".length)) ?? [])
      .sort((one, other) => Number(startOf(one) - startOf(other)));
  }

  /** Removes output that belongs to no record: of processes that were gone with their callers, had their supervisor lived. */
  removeStrays(): void {
    const known = new Set(this.list().map(({ process }) => process.processId));
    for (const name of namesIn(this.directory)) {
      const [processId = ""] = name.split(".");
      if (isProcessId(processId) && !known.has(processId)) rmSync(join(this.directory, name), { force: true });
    }
  }

  #path(processId: string): string {
    return join(this.directory, `${processId}.json`);
  }
}

/** Whether a text is a process id: ids become paths. */
function isProcessId(text: string): boolean {
  return /^prc-[a-z2-7]{20}$/.test(text);
}

function startOf({ process }: ProcessRecord): bigint {
  const { seconds = 0n, nanos = 0 } = process.startTime ?? {};
  return seconds * 1_000_000_000n + BigInt(nanos);
}

/** Undefined for what is not a whole record of this process, whoever wrote it. */
function readRecord(path: string, processId: string): ProcessRecord | undefined {
  const file = openPlainFile(path);
  if (file === undefined) return undefined;
  try {
    if (file.fileBytes > mostBytes) return undefined;
    const text = Buffer.alloc(file.fileBytes);
    readSync(file.fd, text);
    const parsed: unknown = JSON.parse(text.toString("utf8"));
    if (typeof parsed !== "object" || parsed === null) return undefined;
    const { requestId, requestHash, process: message } = parsed as Record<string, JsonValue>; // looked at below
    if (typeof requestId !== "string" || typeof requestHash !== "string" || message === undefined) return undefined;
    const process = fromJson(ProcessSchema, message);
    return process.processId === processId ? { requestId, requestHash, process } : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(file.fd);
  }
}
