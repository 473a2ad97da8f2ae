import { randomUUID } from "node:crypto";
import { Phase, type SandboxService } from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { changeSandboxes } from "../session/change-sandboxes.ts";

/** Options of `sandgate rm`. */
export interface RemoveOptions {
  readonly wait: boolean;
  readonly timeout: number;
}

/** `sandgate rm`: removes sandboxes, all at once. One that cannot be removed does not keep the others from being. */
export async function removeSandboxes(
  context: CommandContext,
  names: readonly string[],
  options: RemoveOptions,
): Promise<number> {
  const { signal } = context.interruptions;
  return changeSandboxes(context, names, "removed", (client, sandbox) =>
    removeSandbox({ client, sandbox, wait: options.wait, timeoutMs: options.timeout, signal }),
  );
}

/** Asks for a sandbox's removal and, with `wait`, waits until it is DELETED. */
export async function removeSandbox(options: {
  client: Client<typeof SandboxService>;
  sandbox: string;
  wait: boolean;
  timeoutMs: number;
  signal: AbortSignal;
}) {
  const { client } = options;
  const { sandbox } = await client.deleteSandbox(
    { sandbox: options.sandbox, requestId: randomUUID() },
    { signal: options.signal },
  );
  if (sandbox === undefined) throw new Error("the service answered without a sandbox");
  if (!options.wait || sandbox.phase === Phase.DELETED) return sandbox;
  let last = sandbox;
  try {
    const watch = client.watchSandbox(
      { sandbox: sandbox.id },
      { signal: options.signal, timeoutMs: options.timeoutMs },
    );
    for await (const change of watch) if (change.sandbox !== undefined) last = change.sandbox;
  } catch (error) {
    if (error instanceof ServiceError && error.reason === "SANDBOX_NOT_FOUND") return last;
    if (!(error instanceof ServiceError) || error.reason !== "DEADLINE_EXCEEDED") throw error;
    throw new CommandFailure({
      message: "the sandbox was not removed in time; its removal goes on",
      mend: "`sandgate status` shows what is not ready",
      metadata: { sandbox_id: sandbox.id },
      exitCode: exitCodes.notReady,
    });
  }
  return last;
}
