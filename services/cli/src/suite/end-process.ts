import { setTimeout as pause } from "node:timers/promises";
import { isRunning, type ProcessIdentity } from "./process-identity.ts";

const pollMs = 10;

/** Sends a signal and waits for the end; kills what is still there after `timeoutMs`. Answers how it ended. */
export async function endProcess(
  identity: ProcessIdentity,
  options: { readonly signal: NodeJS.Signals; readonly timeoutMs: number },
): Promise<"gone" | "ended" | "killed"> {
  if (!send(identity, options.signal)) return "gone";
  if (await untilGone(identity, options.timeoutMs)) return "ended";
  send(identity, "SIGKILL");
  await untilGone(identity, 2_000);
  return "killed";
}

function send(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

async function untilGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isRunning(identity)) {
    if (performance.now() >= deadline) return false;
    await pause(pollMs);
  }
  return true;
}
