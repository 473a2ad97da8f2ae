import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { DriverExit, SandboxDriver } from "./sandbox-driver.ts";

/** A driver in a process of its own. */
export interface DriverHost {
  readonly driver: SandboxDriver;
  call(call: string, argument?: unknown): Promise<unknown>;
  kill(): Promise<void>;
}

/** Makes one file of driver-host.fixture.ts, that another user can run. Answers its path. */
export async function bundleDriverHost(directory: string): Promise<string> {
  const outfile = join(directory, "driver-host.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("./driver-host.fixture.ts", import.meta.url))],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    banner: {
      js: 'import { createRequire as createRequireOfBundle } from "node:module";\nconst require = createRequireOfBundle(import.meta.url);',
    },
    alias: { ssh2: "node:net" }, // as scripts/build.ts has it
    logLevel: "warning",
  });
  return outfile;
}

/** Starts it; as another user where one is given. */
export function startDriverHost(options: {
  readonly node: string;
  readonly host: string;
  /** The driver's name. */
  readonly name: string;
  readonly uid?: number | undefined;
}): DriverHost {
  const { node, host, name: driverName, uid } = options;
  const own = [node, host];
  const [file = node, ...args] =
    uid === undefined
      ? own
      : ["setpriv", "--reuid", String(uid), "--regid", String(uid), "--clear-groups", "--", ...own];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
  child.stdin.on("error", () => {});
  const pending = new Map<number, { resolve: (answer: unknown) => void; reject: (cause: Error) => void }>();
  const listeners = new Set<(exit: DriverExit) => void>();
  let serial = 0;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message: { id?: number; answer?: unknown; fault?: string; exit?: DriverExit } = JSON.parse(
      line,
      (_, value) => (typeof value === "object" && value !== null && "bigint" in value ? BigInt(value.bigint) : value),
    );
    if (message.exit !== undefined) for (const listener of listeners) listener(message.exit);
    const waiting = pending.get(message.id ?? 0);
    if (message.fault === undefined) waiting?.resolve(message.answer);
    else waiting?.reject(new Error(message.fault));
  });
  child.once("exit", () => {
    for (const { reject } of pending.values()) reject(new Error("the driver's process has ended"));
  });
  const call = <T>(name: string, argument?: unknown): Promise<T> => {
    serial += 1;
    const id = serial;
    const bigints = (_: string, value: unknown): unknown =>
      typeof value === "bigint" ? { bigint: String(value) } : value;
    return new Promise<T>((resolve, reject) => {
      pending.set(id, { resolve: (answer) => resolve(answer as T), reject });
      child.stdin.write(`${JSON.stringify({ id, call: name, argument }, bigints)}\n`);
    }).finally(() => pending.delete(id));
  };
  return {
    call,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
    driver: {
      name: driverName,
      isolation: () => call("isolation"),
      prepare: (sandboxId) => call("prepare", sandboxId),
      start: (start) => call("start", start),
      stop: (request) => call("stop", request),
      destroy: (sandboxId) => call("destroy", sandboxId),
      list: () => call("list"),
      onExit: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: async () => {},
    },
  };
}
