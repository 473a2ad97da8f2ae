import { AuthService, GetPrincipalResponseSchema } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate whoami`: the caller, as every service sees it. */
export async function whoami(context: CommandContext): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .getPrincipal({}, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(GetPrincipalResponseSchema, response));
  const field = (name: string, value: string) => output.line(`${output.colors.dim(name.padEnd(14))}${value}`);
  field("identity", response.spiffeId);
  if (response.subject.case === "user") {
    const user = response.subject.value;
    field("name", escapeLine(user.name));
    field("role", (Role[user.role] ?? String(user.role)).toLowerCase());
    field("organization", user.organizationId);
  }
  field("recognized by", response.authenticator);
  return exitCodes.ok;
}
