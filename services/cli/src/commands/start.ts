import { randomUUID } from "node:crypto";
import type { CommandContext } from "../command-context.ts";
import { changeSandboxes } from "../session/change-sandboxes.ts";
import { waitUntilReady } from "../session/wait-until-ready.ts";

/** Options of `sandgate start`. */
export interface StartOptions {
  readonly wait: boolean;
  readonly timeout: number;
}

/** `sandgate start`: runs sandboxes again that were stopped, completed or failed, each as its next incarnation. */
export async function startSandboxes(
  context: CommandContext,
  names: readonly string[],
  options: StartOptions,
): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  return changeSandboxes(context, names, "started", async (client, name) => {
    const { sandbox } = await client.startSandbox({ sandbox: name, requestId: randomUUID() }, { signal });
    if (sandbox === undefined) throw new Error("the service answered without a sandbox");
    if (!options.wait) return sandbox;
    return waitUntilReady({ client, sandbox: sandbox.id, output, signal, timeoutMs: options.timeout });
  });
}
