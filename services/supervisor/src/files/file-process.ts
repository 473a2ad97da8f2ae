import { ServiceError } from "@sandgate/rpc";
import { readOutput } from "../process/process-output.ts";
import type { Workload } from "../process/workload.ts";
import type { WorkloadProcess } from "../process/workload-process.ts";
import { type FileTask, fileScript } from "./file-script.ts";

/** What the script has said, or sent. It ran beside the workload, so nothing of it can be trusted. */
export type FileNews =
  | { readonly kind: "data"; readonly data: Buffer }
  | { readonly kind: "said"; readonly said: object };

/** A listing of a thousand long names. */
const mostSaidBytes = 4 * 1024 * 1024;
/** What may wait for the script, before its caller has to. */
const maxPendingInputBytes = 1024 * 1024;
const goneGraceMs = 2_000;

/** A process of the workload that touches its files for a caller. */
export class FileProcess {
  readonly #process: WorkloadProcess;

  private constructor(process: WorkloadProcess) {
    this.#process = process;
  }

  /** Starts one. Throws StartFault. */
  static async start(options: {
    readonly workload: Pick<Workload, "start">;
    /** How a process of the workload starts it. */
    readonly runtime: readonly string[];
    readonly task: FileTask;
  }): Promise<FileProcess> {
    const process = await options.workload.start({
      command: [...options.runtime, "-e", fileScript, JSON.stringify(options.task)],
      environment: {},
      workingDirectory: "/",
      streams: { kind: "pipes" },
      ownCode: true,
    });
    return new FileProcess(process);
  }

  /** What it sends and says, to its end; what it says comes as soon as it can. Throws why it could not do what it was to. */
  async *news(): AsyncGenerator<FileNews> {
    let text = "";
    for await (const { from, data } of readOutput(this.#process)) {
      if (from === "stdout") {
        yield { kind: "data", data };
        continue;
      }
      text += data.toString("utf8");
      if (text.length > mostSaidBytes) throw broken();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const said = parse(line);
        if (said === undefined) continue; // a warning of the runtime
        if ("fault" in said) throw faultOf(said.fault);
        yield { kind: "said", said };
      }
    }
    const exit = await this.#process.exited;
    if (exit.kind === "signalled" && exit.signal === "SIGXFSZ") throw tooLarge();
    if (exit.kind !== "exited" || exit.code !== 0) throw broken();
  }

  /** Gives it data. Waits while it does not read. */
  async write(data: Uint8Array): Promise<void> {
    if (data.length === 0) return;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(data.length);
    const { stdin } = this.#process;
    if (stdin?.writable !== true) return; // it has ended, and its fault says why
    stdin.write(length);
    stdin.write(data);
    if (stdin.writableLength > maxPendingInputBytes)
      await new Promise<void>((resolve) => stdin.once("drain", resolve).once("close", resolve));
  }

  /** All data was given. */
  finish(): void {
    this.#process.stdin?.end(Buffer.alloc(4));
  }

  /** Nobody wants it any more: what it has not finished it takes back. */
  async abandon(): Promise<void> {
    this.#process.stdin?.destroy();
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.removeAllListeners("data");
      stream?.resume();
    }
    const kill = setTimeout(() => this.#process.kill(), goneGraceMs);
    await this.#process.exited;
    clearTimeout(kill);
    this.#process.discard();
  }
}

function parse(line: string): object | undefined {
  try {
    const said: unknown = JSON.parse(line);
    return typeof said === "object" && said !== null ? said : undefined;
  } catch {
    return undefined;
  }
}

function faultOf(fault: unknown): ServiceError {
  const { code, message } = (typeof fault === "object" && fault !== null ? fault : {}) as Record<string, unknown>; // looked at below
  switch (code) {
    case "ENOENT":
      return new ServiceError("FILE_NOT_FOUND", "there is no such file or directory");
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "ELOOP":
    case "ENXIO":
    case "EBUSY":
      return new ServiceError("FILE_NOT_ACCESSIBLE", "the sandbox may not do that there");
    case "EISDIR":
      return new ServiceError("REQUEST_INVALID", "the path names a directory", { field: "path" });
    case "ENOTDIR":
      return new ServiceError("REQUEST_INVALID", "the path leads through what is no directory", { field: "path" });
    case "EEXIST":
      return new ServiceError("REQUEST_INVALID", "there is something else at the path", { field: "path" });
    case "ENAMETOOLONG":
      return new ServiceError("REQUEST_INVALID", "the path is too long", { field: "path" });
    case "ENOTFILE":
      return new ServiceError("FILE_NOT_ACCESSIBLE", "it is no plain file");
    case "ENOSPC":
    case "EDQUOT":
      return new ServiceError("LIMIT_REACHED", "there is no room left in the sandbox");
    case "EFBIG":
      return tooLarge();
    case "EARCHIVE":
      return new ServiceError("REQUEST_INVALID", typeof message === "string" ? message : "it is no archive", {
        field: "data",
      });
    default:
      return broken();
  }
}

function tooLarge(): ServiceError {
  return new ServiceError("LIMIT_REACHED", "the file is larger than the sandbox may make one");
}

function broken(): ServiceError {
  return new ServiceError("FILE_NOT_ACCESSIBLE", "the files could not be touched");
}
