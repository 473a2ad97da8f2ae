import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const bundle = join(import.meta.dirname, "../../dist/envelope.mjs");

/** The envelope as its own process, in a network namespace. */
export class EnvelopeProgram {
  readonly #child: ChildProcess;
  readonly logs: readonly string[];
  readonly stderr: () => string;
  /** Where clients ask. */
  readonly port: number;

  private constructor(child: ChildProcess, logs: readonly string[], stderr: () => string, port: number) {
    this.#child = child;
    this.logs = logs;
    this.stderr = stderr;
    this.port = port;
  }

  /** Starts it with a configuration, or with words on its command line, by another program if one is named. Resolves when it has started; rejects with what it printed when it ends before. */
  static async start(
    namespace: string,
    directory: string,
    config: object | readonly string[],
    under: readonly string[] = [],
  ): Promise<EnvelopeProgram> {
    const file = join(directory, `envelope-${crypto.randomUUID()}.json`);
    writeFileSync(file, JSON.stringify(config));
    const words = Array.isArray(config) ? config : ["--config", file];
    const child = spawn("ip", ["netns", "exec", namespace, ...under, process.execPath, bundle, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const logs: string[] = [];
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    const port = await new Promise<number>((resolve, reject) => {
      let asked = 0;
      createInterface({ input: child.stdout }).on("line", (line) => {
        logs.push(line);
        const entry = JSON.parse(line) as { msg: string; port?: number };
        if (entry.msg === "clients may ask") asked = entry.port ?? 0;
        if (entry.msg === "started") resolve(asked);
      });
      child.once("close", (code) => reject(new Error(`exit code ${code}: ${stderr}${logs.join("\n")}`)));
    });
    return new EnvelopeProgram(child, logs, () => stderr, port);
  }

  /** Ends it with a signal, and answers its exit code. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const closed = once(this.#child, "close");
    this.#child.kill(signal);
    const [code] = (await closed) as [number | null]; // as ChildProcess declares it
    return code;
  }
}
