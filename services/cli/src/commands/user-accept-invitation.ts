import type { CommandContext } from "../command-context.ts";
import { toPasswordLogin } from "../login/password-login.ts";
import { replaceLogin } from "../login/replace-login.ts";
import { SecretInput } from "../login/secret-input.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate user accept-invitation`. */
export interface AcceptOptions {
  readonly name?: string;
}

/** `sandgate user accept-invitation`: asks for the invitation and a password, and logs in. */
export async function acceptInvitation(context: CommandContext, options: AcceptOptions): Promise<number> {
  const input = new SecretInput({ stdin: process.stdin, stderr: process.stderr });
  const connection = new SuiteConnection(context.clientFile());
  const token = await input.ask("Invitation");
  const password = await input.askNew("Password");
  const server = await connection.loginServer(context.interruptions.signal);
  const { session } = await server.auth.acceptInvitation(
    { token: token.trim(), password, name: options.name ?? "" },
    { signal: server.signal },
  );
  return replaceLogin(context, connection, toPasswordLogin(session?.login ?? "", session), session?.user);
}
