import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { endLogin } from "../login/login-kinds.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate logout`. */
export interface LogoutOptions {
  readonly everywhere?: boolean;
}

/**
 * `sandgate logout`: ends the login at the server, then forgets it. While the server cannot be reached the login stays: whoever may
 * have a copy of it could still use it.
 */
export async function logout(context: CommandContext, options: LogoutOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const server = await connection.loginServer(context.interruptions.signal);
  let ended: string | undefined;
  await connection.logins.change(async (login) => {
    if (login === undefined) return undefined;
    await endLogin(login, server, { everywhere: options.everywhere === true });
    ended = login.name;
    return undefined;
  });
  connection.close();
  output.document({ ended: ended !== undefined, ...(ended === undefined ? {} : { login: ended }) });
  if (ended === undefined) output.note("nobody was logged in");
  else output.line(`logged out ${escapeLine(ended)}${options.everywhere === true ? " everywhere" : ""}`);
  return exitCodes.ok;
}
