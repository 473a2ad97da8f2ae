import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { type IdleActionName, toIdleAction } from "../idle-action-name.ts";
import { messageJson } from "../message-json.ts";
import { printSandbox } from "../sandbox-view.ts";
import { parseLabelPairs } from "../session/label-pairs.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate update`. */
export interface UpdateOptions {
  /** False: never. */
  readonly expireAfter?: number | false;
  readonly idleTimeout?: number | false;
  readonly idleAction?: IdleActionName;
  readonly label: readonly string[];
  readonly unlabel: readonly string[];
}

/** `sandgate update`: changes when a sandbox ends by itself, and its labels. */
export async function updateSandbox(context: CommandContext, name: string, options: UpdateOptions): Promise<number> {
  const { expireAfter, idleTimeout, idleAction, label, unlabel } = options;
  if (
    [expireAfter, idleTimeout, idleAction].every((option) => option === undefined) &&
    label.length + unlabel.length === 0
  )
    throw usageFailure("nothing is to be changed", "`sandgate update --help` shows what can be");
  const setLabels = parseLabelPairs(label);
  const connection = new SuiteConnection(context.clientFile());
  const { sandbox } = await connection.client("sandbox", SandboxService).updateSandbox(
    {
      sandbox: name,
      requestId: randomUUID(),
      ...(expireAfter !== undefined && { expireAfter: durationFromMs(expireAfter || 0) }),
      ...(idleTimeout !== undefined && { idleTimeout: durationFromMs(idleTimeout || 0) }),
      idleAction: toIdleAction(idleAction),
      setLabels,
      removeLabels: [...unlabel],
    },
    { signal: context.interruptions.signal },
  );
  connection.close();
  if (sandbox === undefined) throw new Error("the service answered without a sandbox");
  context.output.document(messageJson(SandboxSchema, sandbox));
  printSandbox(context.output, sandbox);
  return exitCodes.ok;
}
