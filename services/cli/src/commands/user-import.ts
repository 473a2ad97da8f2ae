import { AuthService } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { SecretInput } from "../login/secret-input.ts";
import { type RoleName, roleOf } from "../role-name.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { printUser } from "../user-view.ts";

/** Options of `sandgate user import`. */
export interface ImportOptions {
  readonly role: RoleName;
  readonly name?: string;
}

/** `sandgate user import`: an account with the password hash that another system keeps, from standard input. */
export async function importUser(context: CommandContext, login: string, options: ImportOptions): Promise<number> {
  const input = new SecretInput({ stdin: process.stdin, stderr: process.stderr });
  const connection = new SuiteConnection(context.clientFile());
  const passwordHash = (await input.ask("Password hash")).trim();
  const { user } = await connection
    .client("auth", AuthService)
    .importUser(
      { login, name: options.name ?? "", role: roleOf(options.role), passwordHash },
      { signal: context.interruptions.signal },
    );
  connection.close();
  printUser(context.output, user);
  return exitCodes.ok;
}
