import { AuthService } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { type RoleName, roleOf } from "../role-name.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { printUser } from "../user-view.ts";

/** `sandgate user disable`, `enable` and `set-role`. */
export async function changeUser(
  context: CommandContext,
  user: string,
  change: { readonly kind: "disable" | "enable" } | { readonly kind: "set-role"; readonly role: RoleName },
): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const auth = connection.client("auth", AuthService);
  const { signal } = context.interruptions;
  const make = () => {
    switch (change.kind) {
      case "disable":
        return auth.disableUser({ user }, { signal });
      case "enable":
        return auth.enableUser({ user }, { signal });
      case "set-role":
        return auth.setUserRole({ user, role: roleOf(change.role) }, { signal });
    }
  };
  const response = await make();
  connection.close();
  printUser(context.output, response.user);
  return exitCodes.ok;
}
