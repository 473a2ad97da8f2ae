import type { UserSubject } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import type { SuiteConnection } from "../suite-connection.ts";
import { endLogin } from "./login-kinds.ts";
import type { StoredLogin } from "./stored-login.ts";

/** Keeps a new login, ends the one that was there, and says who is logged in now. */
export async function replaceLogin(
  context: CommandContext,
  connection: SuiteConnection,
  login: StoredLogin,
  user: UserSubject | undefined,
): Promise<number> {
  const { output } = context;
  let former: StoredLogin | undefined;
  await connection.logins.change(async (before) => {
    former = before;
    return login;
  });
  if (former !== undefined) {
    const server = await connection.loginServer(context.interruptions.signal);
    // it is replaced whether or not the server hears of it; there it ends by itself
    await endLogin(former, server, { everywhere: false }).catch(() =>
      output.note("the former login could not be ended"),
    );
  }
  connection.close();
  const role = user === undefined ? "" : (Role[user.role] ?? "").toLowerCase();
  output.document({
    login: login.name,
    kind: login.kind,
    ...(user === undefined ? {} : { userId: user.userId, organizationId: user.organizationId, role }),
  });
  output.line(`logged in as ${escapeLine(login.name)}${role === "" ? "" : ` (${role})`}`);
  return exitCodes.ok;
}
