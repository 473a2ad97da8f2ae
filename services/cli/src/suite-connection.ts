import { readFileSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { splitAuthorityBundle } from "@sandgate/pki";
import { type Channel, type Client, createClient, createHttp2Channel } from "@sandgate/rpc";
import type { ClientFile, ServiceName } from "./client-file.ts";
import { CommandFailure } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";
import { AccessTokens } from "./login/access-tokens.ts";
import { authorizedChannel } from "./login/authorized-channel.ts";
import { certificateChannel } from "./login/certificate-channel.ts";
import { LoginFile, suiteKeyOf } from "./login/login-file.ts";
import type { LoginServer } from "./login/stored-login.ts";

/**
 * Connections to a suite's services: with the user's login where there is one, else with the operator's certificate. Services of
 * one process share one.
 */
export class SuiteConnection {
  readonly file: ClientFile;
  /** This user's login to the suite. */
  readonly logins: LoginFile;
  /** The authorities of service certificates: while one is replaced, several. */
  readonly #ca: string;
  /** The one that issues. */
  readonly #authority: string;
  readonly #channels = new Map<string, Channel>();
  #way: ((name: ServiceName) => Channel) | undefined;

  constructor(file: ClientFile) {
    this.file = file;
    this.#ca = "pem" in file.serviceCa ? file.serviceCa.pem : readCredential(file.serviceCa.file);
    this.#authority = splitAuthorityBundle(this.#ca)[0] ?? "";
    const suiteKey = suiteKeyOf({ trustDomain: file.trustDomain, authority: this.#authority });
    this.logins = new LoginFile({ path: file.loginFile, suiteKey });
  }

  /** A client of the service. Connects at the first call. Refuses where nobody is logged in and there is no certificate. */
  client<S extends DescService>(name: ServiceName, service: S): Client<S> {
    this.#way ??= this.#chooseWay();
    return createClient(service, this.#way(name));
  }

  /** The suite's Auth without a credential: to log in, and to keep a login alive. */
  async loginServer(signal: AbortSignal): Promise<LoginServer> {
    const { AuthService } = await import("@sandgate/api/auth"); // most commands need none of its many messages
    return { auth: createClient(AuthService, this.#edge("auth")), signal };
  }

  /** The access token of this user's login, good for half a minute at least; undefined where nobody is logged in. */
  async accessToken(): Promise<{ readonly token: string; readonly expiresAtMs: number } | undefined> {
    if (this.logins.find() === undefined) return undefined;
    const token = await this.#tokens().current();
    return { token, expiresAtMs: this.logins.find()?.accessExpiresAtMs ?? 0 };
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
  }

  #chooseWay(): (name: ServiceName) => Channel {
    const { operator } = this.file;
    if (this.logins.find() !== undefined) {
      const tokens = this.#tokens();
      const byLogin = (name: ServiceName) => authorizedChannel(this.#edge(name), tokens);
      if (operator === undefined) return byLogin;
      return (name) => certificateChannel(byLogin(name), () => this.#operatorChannel(name, operator));
    }
    if (operator === undefined)
      throw new CommandFailure({
        message: "nobody is logged in",
        mend: "`sandgate login`",
        reason: "CREDENTIAL_MISSING",
        exitCode: exitCodes.denied,
      });
    return (name) => this.#operatorChannel(name, operator);
  }

  #operatorChannel(name: ServiceName, operator: NonNullable<ClientFile["operator"]>): Channel {
    return this.#channel(name, this.file.addresses[name], {
      ca: this.#ca,
      cert: readCredential(operator.certificateFile),
      key: readCredential(operator.keyFile),
    });
  }

  #tokens(): AccessTokens {
    const server = () => this.loginServer(new AbortController().signal);
    return new AccessTokens({ file: this.logins, server, clock: Date.now });
  }

  #edge(name: ServiceName): Channel {
    return this.#channel(name, this.file.edgeAddresses[name], { ca: this.#authority }); // it carries the login's credentials
  }

  #channel(name: ServiceName, address: string, tls: { ca: string; cert?: string; key?: string }): Channel {
    let channel = this.#channels.get(address);
    if (channel === undefined) {
      channel = createHttp2Channel({ address, serverName: `${name}.${this.file.trustDomain}`, tls: () => tls });
      this.#channels.set(address, channel);
    }
    return channel;
  }
}

function readCredential(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CommandFailure(
      {
        message: `${path} cannot be read`,
        mend: "run the command as the user that started the suite; `sandgate up` writes what is missing",
        exitCode: exitCodes.usage,
      },
      { cause },
    );
  }
}
