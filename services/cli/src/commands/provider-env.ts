import { GetSandboxProviderEnvironmentResponseSchema, PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate provider env`: the variables by which a sandbox uses its providers, as it sees them. */
export async function printProviderEnvironment(context: CommandContext, sandbox: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("policy", PolicyService)
    .getSandboxProviderEnvironment({ sandbox }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(GetSandboxProviderEnvironmentResponseSchema, response));
  const variables = Object.entries(response.environment).sort(([one], [other]) => (one < other ? -1 : 1));
  if (variables.length === 0) output.note("it uses no provider");
  for (const [name, value] of variables) output.line(escapeLine(`${name}=${value}`));
  return exitCodes.ok;
}
