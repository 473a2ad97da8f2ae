import { randomUUID } from "node:crypto";
import { Mode, PolicyService, UpdateConfigResponseSchema } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** The modes of a policy, as the command line takes them. */
export type ModeName = "observe" | "enforce";

/** `sandgate policy mode`: whether what no rule allows is denied, or let through and recorded. */
export async function setMode(context: CommandContext, sandbox: string, mode: ModeName): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("policy", PolicyService)
    .updateConfig(
      { sandbox, mode: mode === "observe" ? Mode.OBSERVE : Mode.ENFORCE, requestId: randomUUID() },
      { signal: context.interruptions.signal },
    );
  connection.close();
  const { outcome } = response;
  context.output.document(messageJson(UpdateConfigResponseSchema, response));
  if (outcome.case === "revision")
    context.output.line(`revision ${outcome.value.revision} of ${escapeLine(sandbox)}: ${mode}`);
  return exitCodes.ok;
}
