import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { OidcUserEntry } from "../credentials/oidc-user-entry.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.RegisterOidcUser: the user of an OpenID provider's token, entered into the register where it is not there yet. */
export function registerOidcUser(deps: {
  readonly enterOidcUser: OidcUserEntry;
}): Handler<typeof AuthService.method.registerOidcUser> {
  return async ({ token }, call) => ({ subject: await deps.enterOidcUser(token, actorOfCall(call).peer) });
}
