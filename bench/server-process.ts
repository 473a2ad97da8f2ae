import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

/** A contestant's server, in a process of its own. */
export interface ServerProcess {
  /** 127.0.0.1. */
  readonly port: number;
  /** Microseconds of CPU, in user and system mode, since it was started. */
  readCpuUs(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts a server program; its first argument is `settings` as JSON. It must call `serveMeasurements`. */
export async function startServerProcess(
  program: URL,
  settings: unknown,
  nodeFlags: readonly string[] = [],
): Promise<ServerProcess> {
  const child = fork(program, [JSON.stringify(settings)], {
    execArgv: [...nodeFlags],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const port = Number(await nextMessage(child));
  return {
    port,
    async readCpuUs() {
      const answer = nextMessage(child);
      child.send("cpu");
      return Number(await answer);
    },
    async stop() {
      const ended = once(child, "exit");
      child.send("stop");
      const [code] = await ended;
      if (code !== 0) throw new Error(`a server ended with ${String(code)}`);
    },
  };
}

async function nextMessage(child: ChildProcess): Promise<unknown> {
  const stop = new AbortController();
  try {
    return await Promise.race([
      once(child, "message", { signal: stop.signal }).then(([message]) => message as unknown),
      once(child, "exit", { signal: stop.signal }).then(() => {
        throw new Error("a server ended too early");
      }),
    ]);
  } finally {
    stop.abort();
  }
}

/** The server program's part: says where it listens, answers how much CPU it has used, and ends when it is told to. */
export function serveMeasurements(port: number, end: () => Promise<void> = async () => {}): void {
  process.on("message", (question) => {
    if (question === "stop") return void end().then(() => process.exit(0));
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.(port);
}
