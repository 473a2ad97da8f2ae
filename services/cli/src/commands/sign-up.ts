import type { CommandContext } from "../command-context.ts";
import { toPasswordLogin } from "../login/password-login.ts";
import { replaceLogin } from "../login/replace-login.ts";
import { SecretInput } from "../login/secret-input.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate sign-up`. */
export interface SignUpOptions {
  readonly organization: string;
  readonly name?: string;
}

/** `sandgate sign-up`: an account and an organization of one's own, where the suite lets anybody make them; logs in. */
export async function signUp(context: CommandContext, login: string, options: SignUpOptions): Promise<number> {
  const input = new SecretInput({ stdin: process.stdin, stderr: process.stderr });
  const connection = new SuiteConnection(context.clientFile());
  const password = await input.askNew("Password");
  const server = await connection.loginServer(context.interruptions.signal);
  const { session } = await server.auth.signUp(
    { login, password, name: options.name ?? "", organizationName: options.organization },
    { signal: server.signal },
  );
  return replaceLogin(context, connection, toPasswordLogin(session?.login ?? login, session), session?.user);
}
