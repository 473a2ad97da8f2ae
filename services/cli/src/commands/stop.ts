import { randomUUID } from "node:crypto";
import { Phase, type Sandbox, type SandboxService } from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { phaseName } from "../sandbox-view.ts";
import { changeSandboxes } from "../session/change-sandboxes.ts";

/** Options of `sandgate stop`. */
export interface StopOptions {
  readonly wait: boolean;
  readonly timeout: number;
}

/** `sandgate stop`: ends the processes of sandboxes and revokes their identity; what they have written stays. */
export async function stopSandboxes(
  context: CommandContext,
  names: readonly string[],
  options: StopOptions,
): Promise<number> {
  const { signal } = context.interruptions;
  return changeSandboxes(context, names, "stopped", async (client, name) => {
    const { sandbox } = await client.stopSandbox({ sandbox: name, requestId: randomUUID() }, { signal });
    if (sandbox === undefined) throw new Error("the service answered without a sandbox");
    return options.wait ? waitUntilOver(client, sandbox, { signal, timeoutMs: options.timeout }) : sandbox;
  });
}

async function waitUntilOver(
  client: Client<typeof SandboxService>,
  stopping: Sandbox,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Sandbox> {
  let last = stopping;
  try {
    for await (const { sandbox } of client.watchSandbox({ sandbox: stopping.id }, options)) {
      if (sandbox === undefined) continue;
      last = sandbox;
      if (over.has(sandbox.phase)) return sandbox;
      if (sandbox.desiredPhase === Phase.READY)
        throw new CommandFailure({
          message: "somebody has started the sandbox again",
          metadata: { sandbox_id: sandbox.id },
          exitCode: exitCodes.failed,
        });
    }
    return last;
  } catch (error) {
    if (!(error instanceof ServiceError) || error.reason !== "DEADLINE_EXCEEDED") throw error;
    throw new CommandFailure({
      message: "the sandbox was not stopped in time; its end goes on",
      mend: "`sandgate status` shows what is not ready",
      metadata: { sandbox_id: last.id, phase: phaseName(last.phase) },
      exitCode: exitCodes.notReady,
    });
  }
}

/** In which no process of a sandbox runs any more. */
const over: ReadonlySet<Phase> = new Set([Phase.STOPPED, Phase.COMPLETED, Phase.FAILED, Phase.DELETING, Phase.DELETED]);
