import type { CommandContext } from "../command-context.ts";
import { toPasswordLogin } from "../login/password-login.ts";
import { replaceLogin } from "../login/replace-login.ts";
import { SecretInput } from "../login/secret-input.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate password`: another password for who is logged in, or for the login name given. All other sessions end. */
export async function changePassword(context: CommandContext, name: string | undefined): Promise<number> {
  const input = new SecretInput({ stdin: process.stdin, stderr: process.stderr });
  const connection = new SuiteConnection(context.clientFile());
  const stored = connection.logins.find();
  const login = name ?? (stored?.kind === "password" ? stored.name : await input.ask("Login name", { secret: false }));
  const password = await input.ask("Current password");
  const newPassword = await input.askNew("New password");
  const server = await connection.loginServer(context.interruptions.signal);
  const { session } = await server.auth.changePassword({ login, password, newPassword }, { signal: server.signal });
  return replaceLogin(context, connection, toPasswordLogin(login, session), session?.user);
}
