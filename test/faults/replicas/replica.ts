import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ReplicaOrders } from "./replica-host.ts";

const host = join(import.meta.dirname, "replica-host.ts");

/** One replica of a program, in a process that can be killed and started again at the same addresses. */
export class Replica {
  readonly name: string;
  readonly #directory: string;
  readonly #orders: (address: (listener: "edge" | "mtls") => string) => ReplicaOrders;
  #child: ChildProcess | undefined;
  #addresses: Readonly<Record<string, readonly string[]>> = {};

  constructor(options: {
    readonly name: string;
    /** Where its orders and its log lie. */
    readonly directory: string;
    /** Is asked at each start; `address` answers where it is to listen. */
    readonly orders: (address: (listener: "edge" | "mtls") => string) => ReplicaOrders;
  }) {
    this.name = options.name;
    this.#directory = options.directory;
    this.#orders = options.orders;
  }

  address(listener: "edge" | "mtls"): string {
    return this.#addresses[listener]?.[0] ?? "127.0.0.1:0";
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts it; resolves when it serves. Throws with its log when it ends. */
  async start(): Promise<void> {
    const [orders, log] = [`${this.name}.json`, `${this.name}.log`].map((name) => join(this.#directory, name));
    if (orders === undefined || log === undefined) throw new Error("there are two");
    writeFileSync(orders, JSON.stringify(this.#orders((listener) => this.address(listener))), { mode: 0o600 });
    const output = openSync(log, "a");
    const child = fork(host, [orders], { stdio: ["ignore", output, output, "ipc"], execArgv: [] });
    this.#child = child;
    const ended = once(child, "exit").then(() => {
      throw new Error(`${this.name} ended: ${readFileSync(log, "utf8").slice(-2_000)}`);
    });
    ended.catch(() => {}); // of one that has begun
    [this.#addresses] = await Promise.race([once(child, "message"), ended]);
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** SIGSTOP and SIGCONT: a replica that hangs, with its connections open. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }
  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** The last lines that it logged. */
  get lastWords(): string {
    return readFileSync(join(this.#directory, `${this.name}.log`), "utf8").slice(-2_000);
  }
}
