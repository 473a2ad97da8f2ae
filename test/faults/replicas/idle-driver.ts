import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DriverExit, SandboxDriver, SandboxStart } from "../../../services/sandbox/src/drivers/sandbox-driver.ts";

/**
 * A driver that starts nothing, of a machine that several Sandbox processes share: what runs is what has a file, with what its supervisor
 * would be given. The test plays the supervisor.
 */
export class IdleDriver implements SandboxDriver {
  readonly name = "idle";
  readonly #machine: string;
  readonly #socketRoots: readonly string[];

  /** `socketRoots` hold each a directory of every sandbox. */
  constructor(options: { readonly machine: string; readonly socketRoots: readonly string[] }) {
    this.#machine = options.machine;
    this.#socketRoots = options.socketRoots;
  }

  async isolation(): ReturnType<SandboxDriver["isolation"]> {
    return { guarantees: [], gaps: [] };
  }
  async prepare(sandboxId: string): ReturnType<SandboxDriver["prepare"]> {
    const directories = this.#socketRoots.map((root) => join(root, sandboxId));
    for (const directory of directories) mkdirSync(directory, { recursive: true });
    return { controlDirectory: directories[0] ?? "", egressDirectory: directories[1] ?? "" };
  }
  async start({ sandboxId, incarnation, bootstrapToken }: SandboxStart): Promise<void> {
    const file = this.#fileOf(sandboxId);
    writeFileSync(`${file}.new`, JSON.stringify({ incarnation: String(incarnation), bootstrapToken }), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  async stop({ sandboxId }: { readonly sandboxId: string }): Promise<void> {
    rmSync(this.#fileOf(sandboxId), { force: true });
  }
  async destroy(sandboxId: string): Promise<void> {
    await this.stop({ sandboxId });
    for (const root of this.#socketRoots) rmSync(join(root, sandboxId), { recursive: true, force: true });
  }
  async list(): ReturnType<SandboxDriver["list"]> {
    return readdirSync(this.#machine).flatMap((name) => {
      const start = readIdleStart(this.#machine, name);
      return start === undefined ? [] : [{ sandboxId: name, incarnation: start.incarnation, running: true }];
    });
  }
  onExit(_listener: (exit: DriverExit) => void): () => void {
    return () => {};
  }
  async close(): Promise<void> {}

  #fileOf(sandboxId: string): string {
    return join(this.#machine, sandboxId);
  }
}

/** What a sandbox of that machine was started with; undefined while it does not run. */
export function readIdleStart(
  machine: string,
  sandboxId: string,
): { readonly incarnation: bigint; readonly bootstrapToken: string } | undefined {
  const file = join(machine, sandboxId);
  if (sandboxId.endsWith(".new") || !existsSync(file)) return undefined;
  try {
    const { incarnation, bootstrapToken } = JSON.parse(readFileSync(file, "utf8"));
    return { incarnation: BigInt(incarnation), bootstrapToken };
  } catch {
    return undefined; // it has just been removed
  }
}
