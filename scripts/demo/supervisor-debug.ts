import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Stage } from "./stage.ts";

/**
 * Has a sandbox's own supervisor make a call with the identity that it alone has, or show what it holds. Works for whoever may
 * enter the supervisor's directory on the machine: root, or the user that the suite runs as.
 */
export async function askSupervisor(
  stage: Pick<Stage, "directory" | "root">,
  sandboxId: string,
  words: readonly string[],
): Promise<{ exitCode: number; output: string }> {
  const socket = join(stage.directory, "sandboxes", sandboxId, "bootstrap/debug.sock");
  const program = [join(stage.root, "dist/supervisor.mjs"), "debug-rpc", "--socket", socket, ...words];
  const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "pipe"], env: {} });
  const exited = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { exitCode, output: stdout === "" ? stderr : stdout };
}
