import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DriverExit, SandboxDriver, SandboxStart } from "../../../services/sandbox/src/drivers/sandbox-driver.ts";

/**
 * A driver that starts nothing: it makes the control directories, so that the sandboxes' sockets exist, and keeps what the
 * supervisor would be given. The test plays the supervisor.
 */
export class RecordingDriver implements SandboxDriver {
  readonly name = "recording";
  readonly #controlRoot: string;
  readonly #running = new Map<string, SandboxStart>();
  readonly #waiting = new Map<string, (start: SandboxStart) => void>();

  constructor(options: { readonly controlRoot: string }) {
    this.#controlRoot = options.controlRoot;
  }

  /** What the supervisor of a sandbox was started with, once it was. */
  startOf(sandboxId: string): Promise<SandboxStart> {
    const running = this.#running.get(sandboxId);
    if (running !== undefined) return Promise.resolve(running);
    return new Promise((resolve) => this.#waiting.set(sandboxId, resolve));
  }

  async isolation(): ReturnType<SandboxDriver["isolation"]> {
    return { guarantees: [], gaps: [] };
  }
  async prepare(sandboxId: string): ReturnType<SandboxDriver["prepare"]> {
    const controlDirectory = join(this.#controlRoot, sandboxId);
    await mkdir(controlDirectory, { recursive: true });
    return { controlDirectory, egressDirectory: controlDirectory };
  }
  async start(start: SandboxStart): Promise<void> {
    this.#running.set(start.sandboxId, start);
    this.#waiting.get(start.sandboxId)?.(start);
  }
  async stop({ sandboxId }: { readonly sandboxId: string }): Promise<void> {
    this.#running.delete(sandboxId);
  }
  async destroy(sandboxId: string): Promise<void> {
    this.#running.delete(sandboxId);
    await rm(join(this.#controlRoot, sandboxId), { recursive: true, force: true });
  }
  async list(): ReturnType<SandboxDriver["list"]> {
    return [...this.#running.values()].map(({ sandboxId, incarnation }) => ({ sandboxId, incarnation, running: true }));
  }
  onExit(_listener: (exit: DriverExit) => void): () => void {
    return () => {};
  }
  async close(): Promise<void> {}
}
