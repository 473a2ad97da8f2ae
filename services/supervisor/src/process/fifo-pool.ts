import { execFile } from "node:child_process";
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

/** One direction of a process's standard streams: our end, and the descriptor that the process gets. */
export interface Fifo {
  readonly ours: Socket;
  /** To be closed once the process has it. */
  readonly theirs: number;
  /** Gives the pipe back. Only when the process has ended and our end is closed. */
  release(): void;
}

/** How pipes are made where the workload is another user than the supervisor, whose processes may outlive each other. */
export interface PipeSharing {
  /** A program of the machine that the supervisor can start, as mkfifo. */
  readonly mkfifo: readonly string[];
}

/**
 * Pipes for workloads. node:child_process gives its children sockets, which cannot be opened by name:
 * `echo > /dev/stderr` would fail in every script.
 */
export class FifoPool {
  readonly #directory: string;
  readonly #batch: number;
  readonly #shared: PipeSharing | undefined;
  #free: string[] = [];
  #made = 0;
  #making: Promise<void> | undefined;

  private constructor(directory: string, batch: number, shared: PipeSharing | undefined) {
    this.#directory = directory;
    this.#batch = batch;
    this.#shared = shared;
  }

  /** Makes a pool in a directory of its own below `parent`. */
  static async create(options: { parent: string; batch: number; shared?: PipeSharing }): Promise<FifoPool> {
    const pool = new FifoPool(await mkdtemp(join(options.parent, "pipes-")), options.batch, options.shared);
    await pool.#make();
    return pool;
  }

  /** A pipe that the process writes and we read. */
  async takeOutput(): Promise<Fifo> {
    const path = await this.#take();
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const theirs = openSync(path, constants.O_WRONLY);
    const ours = new Socket({ fd: reader, readable: true, writable: false });
    return { ours, theirs, release: () => this.#release(path) };
  }

  /** A pipe that we write and the process reads. */
  async takeInput(): Promise<Fifo> {
    const path = await this.#take();
    const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK); // so that neither end waits for the other to be opened
    const theirs = openSync(path, constants.O_RDONLY);
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    closeSync(both);
    const ours = new Socket({ fd: writer, readable: false, writable: true });
    return { ours, theirs, release: () => this.#release(path) };
  }

  /** A process that outlives the one that the pipe was for may still hold its end: where there can be one, no other gets the pipe. */
  #release(path: string): void {
    if (this.#shared === undefined) this.#free.push(path);
    else rmSync(path, { force: true });
  }

  async #take(): Promise<string> {
    for (;;) {
      const path = this.#free.pop();
      if (path !== undefined) return path;
      this.#making ??= this.#make().finally(() => {
        this.#making = undefined;
      });
      await this.#making;
    }
  }

  async #make(): Promise<void> {
    const paths = Array.from({ length: this.#batch }, () => join(this.#directory, String(this.#made++)));
    // Whoever has a pipe as its standard output may open it by /dev/stdout; no one else comes to this directory.
    const [file = "mkfifo", ...args] = this.#shared?.mkfifo ?? [];
    const mode = this.#shared === undefined ? "600" : "666";
    await promisify(execFile)(file, [...args, "-m", mode, ...paths], {
      timeout: 10_000,
      ...(this.#shared && { env: {} }),
    });
    this.#free.push(...paths);
  }
}
