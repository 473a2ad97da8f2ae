import { AuthService } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate user withdraw-invitation`: an invitation that cannot be accepted any more. */
export async function withdrawInvitation(context: CommandContext, invitation: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  await connection
    .client("auth", AuthService)
    .withdrawInvitation({ invitation }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document({ withdrawn: invitation });
  context.output.line(`${escapeLine(invitation)}: withdrawn`);
  return exitCodes.ok;
}
