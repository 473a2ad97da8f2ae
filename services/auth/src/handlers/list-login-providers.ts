import type { AuthService, LoginProvider } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";

/** AuthService.ListLoginProviders: where a command line can log in. Nothing of it is secret. */
export function listLoginProviders(deps: {
  readonly providers: readonly LoginProvider[];
}): Handler<typeof AuthService.method.listLoginProviders> {
  return async () => ({ providers: [...deps.providers] });
}
