import { randomUUID } from "node:crypto";
import { PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate provider rm`: removes a provider with its secret; what uses it is cut. */
export async function removeProvider(context: CommandContext, name: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  await connection
    .client("policy", PolicyService)
    .deleteProvider({ requestId: randomUUID(), name }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document({ name });
  context.output.line(`${escapeLine(name)} removed`);
  return exitCodes.ok;
}
