import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { FirewallError } from "./firewall-error.ts";
import { describeFault } from "./run-firewall-program.ts";

const TIMEOUT_MS = 10_000;
const MAX_OUTPUT = 64 * 1024;
/** nft keeps what it was told as its history: it is ended, and another one started, after so much. */
const MAX_SENT = 16 * 1024 * 1024;

/** What the session needs. */
interface Deps {
  /** The program nft. */
  readonly file: string;
  readonly timeoutMs?: number;
}

/**
 * One nft that goes on living, and is told one transaction after the other (`nft -i`). It is not believed when it says nothing: a transaction counts
 * when nft finds what it was to leave in the kernel. A line is one transaction, and the kernel takes all of it or nothing.
 */
export class NftSession {
  readonly #deps: Deps;
  #child: ChildProcessByStdio<Writable, Readable, Readable> | undefined;
  #closed: Promise<unknown> = Promise.resolve();
  #sent = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Commits commands in one transaction, and resolves when `proof`, an element that they add to a set of marks, is in the kernel. Rejects with
   * FirewallError when that cannot be shown; the nft that was told is then dead, so that it does nothing more. One at a time.
   */
  async commit(commands: readonly string[], proof: { readonly set: string; readonly mark: number }): Promise<void> {
    const child = await this.#live();
    const text = `${commands.join("; ")}\nget element ${proof.set} { ${proof.mark} }\n`;
    this.#sent += text.length;
    try {
      await settle(child, text, proof.mark, this.#deps.timeoutMs ?? TIMEOUT_MS);
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    await this.#end();
  }

  async #live(): Promise<ChildProcessByStdio<Writable, Readable, Readable>> {
    if (this.#child !== undefined && isAlive(this.#child) && this.#sent < MAX_SENT) return this.#child;
    await this.#end();
    const child = spawn(this.#deps.file, ["-i"], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { HOME: "/dev/null" }, // where it cannot write its history
    });
    child.on("error", () => undefined); // it closes
    child.stdin.on("error", () => undefined); // it closes
    child.stdout.setEncoding("utf8");
    child.stderr.setEncoding("utf8");
    this.#closed = new Promise((resolve) => child.once("close", resolve));
    this.#child = child;
    this.#sent = 0;
    return child;
  }

  /** Resolves when nothing of what the process was told can happen any more. */
  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined && isAlive(child)) child.kill("SIGKILL");
    await this.#closed;
  }
}

function isAlive({ exitCode, signalCode }: Pick<ChildProcess, "exitCode" | "signalCode">): boolean {
  return exitCode === null && signalCode === null;
}

async function settle(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  text: string,
  mark: number,
  timeoutMs: number,
): Promise<void> {
  const isProof = new RegExp(`elements = \\{ 0x0*${mark.toString(16)}\\b`);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let [output, errors] = ["", ""];
  const hear = (part: string) => {
    output = `${output}${part}`.slice(-MAX_OUTPUT);
    if (isProof.test(output)) resolve();
  };
  const hearError = (part: string) => {
    errors = `${errors}${part}`.slice(0, MAX_OUTPUT);
    if (/^.*error.*\n/im.test(errors)) reject(new FirewallError(describeFault("nft", errors, null)));
  };
  const close = () => reject(new FirewallError("the nft that goes on living has ended"));
  const timer = setTimeout(() => reject(new FirewallError("nft did not answer in time")), timeoutMs);
  child.stdout.on("data", hear);
  child.stderr.on("data", hearError);
  child.once("close", close);
  try {
    child.stdin.write(text);
    await promise;
  } finally {
    clearTimeout(timer);
    child.stdout.off("data", hear);
    child.stderr.off("data", hearError);
    child.off("close", close);
  }
}
