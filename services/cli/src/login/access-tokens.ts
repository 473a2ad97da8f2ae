import { ServiceError } from "@sandgate/rpc";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import type { LoginFile } from "./login-file.ts";
import { refreshLogin } from "./login-kinds.ts";
import type { LoginServer, StoredLogin } from "./stored-login.ts";

/** A token that is good for less than this is renewed before it is used. */
const spareMs = 30_000;

/** The access token of the user's login: renewed once, however many commands find it old at the same moment. */
export class AccessTokens {
  readonly #file: LoginFile;
  readonly #server: () => Promise<LoginServer>;
  readonly #clock: () => number;
  #renewing: Promise<string> | undefined;

  constructor(deps: {
    readonly file: LoginFile;
    readonly server: () => Promise<LoginServer>;
    readonly clock: () => number;
  }) {
    this.#file = deps.file;
    this.#server = deps.server;
    this.#clock = deps.clock;
  }

  /** A token that is good for at least half a minute. Throws where the user has to log in again, and then forgets the login. */
  async current(): Promise<string> {
    const login = this.#file.find();
    if (login !== undefined && this.#isFresh(login)) return login.accessToken;
    return this.renew(login?.accessToken ?? "");
  }

  /** Another token than this one, which was refused or is old. */
  async renew(stale: string): Promise<string> {
    this.#renewing ??= this.#renew(stale).finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #renew(stale: string): Promise<string> {
    let fault: ServiceError | undefined;
    const renewed = await this.#file.change(async (login, keep) => {
      if (login === undefined) return undefined;
      if (login.accessToken !== stale && this.#isFresh(login)) return login; // another command was first
      try {
        return await refreshLogin(login, await this.#server(), keep);
      } catch (thrown) {
        if (!(thrown instanceof ServiceError) || !isOver(thrown)) throw thrown;
        fault = thrown;
        return undefined;
      }
    });
    if (renewed !== undefined) return renewed.accessToken;
    throw new CommandFailure(
      {
        message: fault?.message ?? "nobody is logged in",
        mend: "`sandgate login` again",
        reason: fault?.reason ?? "CREDENTIAL_MISSING",
        exitCode: exitCodes.denied,
      },
      { cause: fault },
    );
  }

  #isFresh(login: StoredLogin): boolean {
    return this.#clock() < login.accessExpiresAtMs - spareMs;
  }
}

function isOver({ reason }: ServiceError): boolean {
  return ["CREDENTIAL_EXPIRED", "CREDENTIAL_REVOKED", "CREDENTIAL_REJECTED", "REFRESH_TOKEN_REUSED"].includes(reason);
}
