import { randomUUID } from "node:crypto";
import { SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate template rm`: deletes a template; sandboxes that were made from it stay. */
export async function removeTemplate(context: CommandContext, name: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  await connection
    .client("sandbox", SandboxService)
    .deleteSandboxTemplate({ name, requestId: randomUUID() }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document({ removed: name });
  context.output.line(`${escapeLine(name)} removed`);
  return exitCodes.ok;
}
