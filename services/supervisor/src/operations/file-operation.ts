import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FileKind, type FileSchema, type OpenExec, type RelayExecResponse } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { FileProcess } from "../files/file-process.ts";
import type { FileTask } from "../files/file-script.ts";
import type { Workload } from "../process/workload.ts";
import { StartFault } from "../process/workload-command.ts";
import type { Answer, Operation } from "./operation.ts";

type Requested = OpenExec["operation"];

/** How many such calls may be under way in one sandbox. */
const mostAtOnce = 16;
const mostEntries = 1000;
/** What may come before it is said what it is. */
const mostEarlyBytes = 1024 * 1024;

/** Carries out calls about a sandbox's files, so many at a time. */
export class FileOperations {
  readonly #workload: Pick<Workload, "start">;
  readonly #runtime: readonly string[];
  #underWay = 0;

  constructor(options: {
    readonly workload: Pick<Workload, "start"> /** As workloads see it. */;
    readonly runtime: readonly string[];
  }) {
    this.#workload = options.workload;
    this.#runtime = options.runtime;
  }

  /** The operation of a request; undefined where it is not about files. */
  create(requested: Requested): Operation | undefined {
    const task = taskOf(requested);
    return task === undefined ? undefined : new FileOperation(task, () => this.#start(task));
  }

  async #start(task: FileTask): Promise<{ process: FileProcess; release: () => void }> {
    if (this.#underWay >= mostAtOnce)
      throw new ServiceError("LIMIT_REACHED", "as many files of the sandbox are being read or written as may be", {
        limit: String(mostAtOnce),
      });
    this.#underWay += 1;
    const release = (): void => {
      this.#underWay -= 1;
    };
    try {
      return { process: await FileProcess.start({ workload: this.#workload, runtime: this.#runtime, task }), release };
    } catch (cause) {
      release();
      if (cause instanceof StartFault) throw new ServiceError("FILE_NOT_ACCESSIBLE", cause.message);
      throw cause;
    }
  }
}

class FileOperation implements Operation {
  readonly #task: FileTask;
  readonly #started: Promise<{ process: FileProcess; release: () => void }>;

  constructor(task: FileTask, start: () => Promise<{ process: FileProcess; release: () => void }>) {
    this.#task = task;
    this.#started = start();
    this.#started.catch(() => {}); // whoever asks for it is told
  }

  async *answers(): AsyncGenerator<Answer> {
    const { process } = await this.#started;
    const early: Buffer[] = [];
    let earlyBytes = 0;
    let last: Answer | undefined;
    let isDescribed = this.#task.kind !== "read";
    for await (const news of process.news()) {
      if (news.kind === "said") {
        const answer = answerTo(this.#task, news.said);
        if (this.#task.kind === "read" && "file" in news.said) {
          isDescribed = true;
          yield answer;
          for (const data of early.splice(0)) yield dataOf(this.#task, data);
        } else last = answer; // behind all data, whichever pipe was faster
        continue;
      }
      if (isDescribed) {
        yield dataOf(this.#task, news.data);
        continue;
      }
      early.push(news.data);
      earlyBytes += news.data.length;
      if (earlyBytes > mostEarlyBytes) break;
    }
    if (last === undefined || !isDescribed)
      throw new ServiceError("FILE_NOT_ACCESSIBLE", "the files could not be touched");
    yield last;
  }

  async receive({ message }: RelayExecResponse): Promise<void> {
    const { process } = await this.#started;
    switch (message.case) {
      case "writeFile":
      case "writeArchive":
        if (message.value.part.case === "data") await process.write(message.value.part.value);
        return;
      case "finished":
        process.finish();
        return;
      default:
        return;
    }
  }

  async close(): Promise<void> {
    const started = await this.#started.catch(() => undefined);
    await started?.process.abandon();
    started?.release();
  }
}

function taskOf(requested: Requested): FileTask | undefined {
  switch (requested.case) {
    case "readFile":
      return { kind: "read", path: requested.value.path };
    case "writeFile": {
      const { part } = requested.value;
      const { path = "", mode = 0, makeParents = false } = part.case === "start" ? part.value : {};
      return { kind: "write", path, mode: mode === 0 ? 0o644 : mode & 0o777, makeParents };
    }
    case "listFiles": {
      const { path, pageSize, pageToken } = requested.value;
      const limit = pageSize < 1 || pageSize > mostEntries ? mostEntries : pageSize;
      return { kind: "list", path, after: Buffer.from(pageToken, "base64url").toString("utf8"), limit };
    }
    case "readArchive":
      return { kind: "pack", path: requested.value.path };
    case "writeArchive": {
      const { part } = requested.value;
      return { kind: "unpack", path: part.case === "start" ? part.value.path : "" };
    }
    default:
      return undefined;
  }
}

function dataOf({ kind }: FileTask, data: Buffer): Answer {
  return kind === "read"
    ? { answer: { case: "readFile", value: { part: { case: "data", value: data } } } }
    : { answer: { case: "readArchive", value: { part: { case: "data", value: data } } } };
}

/** What the script said, as the caller is told it. */
function answerTo({ kind }: FileTask, said: object): Answer {
  const { file, end, entries, more, last, summary } = said as Record<string, unknown>; // each is looked at where it is used
  switch (kind) {
    case "read":
      return {
        answer: {
          case: "readFile",
          value: {
            part:
              end === undefined ? { case: "file", value: fileOf(file) } : { case: "end", value: BigInt(count(end)) },
          },
        },
      };
    case "write":
      return { answer: { case: "writeFile", value: { file: fileOf(file) } } };
    case "list":
      return {
        answer: {
          case: "listFiles",
          value: {
            file: fileOf(file),
            entries: Array.isArray(entries) ? entries.slice(0, mostEntries).map(fileOf) : [],
            nextPageToken:
              more === true && typeof last === "string" ? Buffer.from(last, "utf8").toString("base64url") : "",
          },
        },
      };
    case "pack":
      return { answer: { case: "readArchive", value: { part: { case: "end", value: summaryOf(summary) } } } };
    case "unpack":
      return { answer: { case: "writeArchive", value: { summary: summaryOf(summary) } } };
  }
}

const kinds: Readonly<Record<string, FileKind>> = {
  file: FileKind.FILE,
  directory: FileKind.DIRECTORY,
  link: FileKind.SYMBOLIC_LINK,
};

function fileOf(value: unknown): MessageInitShape<typeof FileSchema> {
  const { name, kind, sizeBytes, mode, modifyMs, target } = recordOf(value);
  return {
    name: typeof name === "string" ? name : "",
    kind: (typeof kind === "string" ? kinds[kind] : undefined) ?? FileKind.OTHER,
    sizeBytes: BigInt(count(sizeBytes)),
    mode: count(mode) & 0o777,
    modifyTime: timestampFromMs(Math.min(count(modifyMs), 8.64e15)),
    linkTarget: typeof target === "string" ? target : "",
  };
}

function summaryOf(value: unknown) {
  const { entries, skipped } = recordOf(value);
  return { entries: BigInt(count(entries)), skipped: BigInt(count(skipped)) };
}

function recordOf(value: unknown): Record<string, unknown> {
  return (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>; // an object is one
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
