import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { WriteStream } from "node:fs";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CrashOrders } from "./run-crash-host.ts";

interface Run {
  readonly child: ChildProcess;
  readonly exit: Promise<void>;
}

/** One program of the bench. Whenever it is killed it is started again. */
export class CrashProgram {
  readonly name: string;
  readonly #bundle: string;
  readonly #ordersFile: string;
  readonly #log: WriteStream;
  #run: Run | undefined;
  #up: Promise<void> = Promise.resolve();
  #ending = false;
  #kills = 0;

  constructor(options: {
    readonly name: string;
    /** Where the bundle lies and the orders are written. */
    readonly directory: string;
    readonly log: WriteStream;
  }) {
    this.name = options.name;
    this.#bundle = join(options.directory, `${options.name}-host.mjs`);
    this.#ordersFile = join(options.directory, `${options.name}.json`);
    this.#log = options.log;
  }

  /** How often it was killed. */
  get kills(): number {
    return this.#kills;
  }

  /** Starts it, and resolves when it runs, or was killed before. */
  start(orders: CrashOrders): Promise<void> {
    writeFileSync(this.#ordersFile, JSON.stringify(orders), { mode: 0o644 });
    this.#ending = false;
    this.#up = this.#launch();
    return this.up();
  }

  /** Resolves when it runs. Rejects when it ended by itself. */
  async up(): Promise<void> {
    for (let current = this.#up; ; current = this.#up) {
      await current;
      if (current === this.#up) return;
    }
  }

  /** Ends it with SIGTERM. Throws when it does not end in order. */
  async end(): Promise<void> {
    await this.up();
    this.#ending = true;
    const run = this.#run;
    run?.child.kill("SIGTERM");
    await run?.exit;
    if (run?.child.exitCode === 1) throw new Error(`${this.name} did not stop in order`);
  }

  async #launch(): Promise<void> {
    const child = spawn(process.execPath, [this.#bundle, this.#ordersFile, this.name], {
      stdio: ["ignore", this.#log, this.#log, "pipe"],
    });
    const exit = once(child, "exit").then(([, signal]) => {
      this.#run = undefined;
      if (signal !== "SIGKILL") return;
      this.#kills += 1;
      if (!this.#ending) this.#up = this.#launch();
    });
    this.#run = { child, exit };
    const ready = child.stdio[3];
    if (ready === null || ready === undefined || !("read" in ready)) throw new Error("the program has no pipe");
    const closed = once(ready, "close").then(async () => {
      await exit;
      if (child.signalCode !== "SIGKILL")
        throw new Error(`${this.name} ended by itself: ${readFileSync(this.#log.path, "utf8").slice(-2_000)}`);
    });
    await Promise.race([once(ready, "data"), closed]);
    closed.catch(() => {}); // the end of one that ran
  }
}
