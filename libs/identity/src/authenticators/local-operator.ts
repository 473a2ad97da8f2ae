import { Listener } from "@sandgate/api/options";
import type { Call } from "@sandgate/rpc";
import type { Principal } from "../principal.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { Authenticator } from "./authenticator.ts";
import { userPrincipal } from "./user-principal.ts";

/**
 * Takes every caller of the edge listener that shows no credential at all for one configured user (G-06). For development: the
 * composition root makes one only where the configuration says so and every edge address is loopback or a Unix socket. Never
 * where a browser may be the caller: any web page that its user opens would be that user.
 */
export class LocalOperatorAuthenticator implements Authenticator {
  readonly name = "local-operator";
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;
  readonly #userId: string;

  constructor(deps: { register: SubjectRegister; trustDomain: string; userId: string }) {
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
    this.#userId = deps.userId;
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    if (call.listener !== Listener.EDGE || call.connection.transport === "web") return undefined;
    if (call.header("authorization") !== undefined) return undefined;
    return userPrincipal(await this.#register.findUser(this.#userId), {
      trustDomain: this.#trustDomain,
      authenticator: this.name,
    });
  }
}
