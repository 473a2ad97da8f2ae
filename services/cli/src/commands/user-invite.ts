import { AuthService, InviteUserResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { printInvitation } from "../invitation-view.ts";
import { messageJson } from "../message-json.ts";
import { type RoleName, roleOf } from "../role-name.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate user invite`. */
export interface InviteOptions {
  readonly role: RoleName;
}

/** `sandgate user invite`: prints the invitation's token, this once, on standard output. */
export async function inviteUser(context: CommandContext, login: string, options: InviteOptions): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .inviteUser({ login, role: roleOf(options.role) }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document(messageJson(InviteUserResponseSchema, response));
  printInvitation(context.output, login, response);
  return exitCodes.ok;
}
