import { AuthService, CreateOrganizationResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { printInvitation } from "../invitation-view.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate organization create`. */
export interface CreateOrganizationOptions {
  readonly admin: string;
}

/** `sandgate organization create`: makes it and prints its first administrator's invitation, this once, on standard output. */
export async function createOrganization(
  context: CommandContext,
  name: string,
  options: CreateOrganizationOptions,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .createOrganization({ name, adminLogin: options.admin }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(CreateOrganizationResponseSchema, response));
  output.note(`organization ${response.organizationId}`);
  printInvitation(output, options.admin, response);
  return exitCodes.ok;
}
