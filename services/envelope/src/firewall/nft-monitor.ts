import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5_000;
/** Who has lived so long is started again at once when it ends. */
const STEADY_MS = 10_000;

/**
 * Follows `nft monitor rules`: calls `onChange` at every change of the rules of a table, whoever makes it, and when changes may have been missed.
 * It is started again when it ends. If we die it ends at the next change, for then nobody hears it.
 * What it does not tell, such as a table that was made dormant, must be looked for.
 */
export function followRules(options: {
  /** The program nft. */
  readonly file: string;
  readonly table: string;
  readonly onChange: () => void;
}): { stop(): Promise<void> } {
  let stopped = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let child: ChildProcess | undefined;
  let closed: Promise<unknown> = Promise.resolve();
  const start = () => {
    const startedAt = performance.now();
    const monitor = spawn(options.file, ["monitor", "rules"], {
      stdio: ["ignore", "pipe", "ignore"],
      env: {},
    });
    child = monitor;
    monitor.on("error", () => undefined); // it closes
    createInterface({ input: monitor.stdout }).on("line", (line) => {
      if (line.includes(` inet ${options.table} `) || line.startsWith("# ERROR")) options.onChange(); // "# ERROR": events were lost
    });
    closed = new Promise((resolve) => monitor.once("close", resolve));
    monitor.once("close", () => {
      if (stopped) return;
      failures = performance.now() - startedAt > STEADY_MS ? 0 : failures + 1;
      options.onChange();
      timer = setTimeout(start, Math.min(FIRST_RETRY_MS * 2 ** Math.max(0, failures - 1), LONGEST_RETRY_MS)).unref();
    });
  };
  start();
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      child?.kill("SIGKILL");
      await closed;
    },
  };
}
