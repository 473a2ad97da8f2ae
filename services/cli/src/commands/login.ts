import type { CommandContext } from "../command-context.ts";
import { logInWithKey } from "../login/api-key-login.ts";
import { toPasswordLogin } from "../login/password-login.ts";
import { replaceLogin } from "../login/replace-login.ts";
import { SecretInput } from "../login/secret-input.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate login`. */
export interface LoginOptions {
  readonly apiKey?: boolean;
}

/** `sandgate login`: asks for a password and keeps the session that it gives. Every command after it is this user's. */
export async function login(context: CommandContext, name: string | undefined, options: LoginOptions): Promise<number> {
  const input = new SecretInput({ stdin: process.stdin, stderr: process.stderr });
  const connection = new SuiteConnection(context.clientFile());
  const server = await connection.loginServer(context.interruptions.signal);
  if (options.apiKey === true) {
    const secret = (await input.ask("API key")).trim();
    return replaceLogin(context, connection, await logInWithKey(secret, server), undefined);
  }
  const loginName = name ?? (await input.ask("Login name", { secret: false }));
  const password = await input.ask("Password");
  const { session } = await server.auth.login({ login: loginName, password }, { signal: server.signal });
  return replaceLogin(context, connection, toPasswordLogin(loginName, session), session?.user);
}
