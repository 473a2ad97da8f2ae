import type { LoginProvider } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { loginByDevice, loginInBrowser } from "../login/oidc-client.ts";
import { replaceLogin } from "../login/replace-login.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate login` at an OpenID provider. */
export interface OidcLoginOptions {
  readonly oidc?: boolean;
  readonly device?: boolean;
}

const patienceMs = 10 * 60_000;

/** `sandgate login --oidc`: logs in at an OpenID provider of the suite, and keeps the tokens that it gives. */
export async function loginOidc(
  context: CommandContext,
  name: string | undefined,
  options: OidcLoginOptions,
): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const server = await connection.loginServer(context.interruptions.signal);
  const { providers } = await server.auth.listLoginProviders({}, { signal: server.signal });
  const { issuer, clientId, resource, usesIdToken, scopes } = choose(providers, name);
  const provider = { issuer, clientId, resource, usesIdToken };
  const signal = AbortSignal.any([server.signal, AbortSignal.timeout(patienceMs)]);
  const login = options.device === true ? loginByDevice : loginInBrowser;
  const tokens = await login(provider, {
    scopes,
    signal,
    show: (url: string, code?: string) => {
      // with --json too: nobody can log in who is not told where
      process.stderr.write(`open in a browser: ${escapeLine(url)}\n`);
      if (code !== undefined) process.stderr.write(`and enter the code: ${escapeLine(code)}\n`);
    },
  }).catch((fault: unknown) => {
    if (!signal.aborted || server.signal.aborted) throw fault;
    throw new CommandFailure({ message: "nobody logged in within ten minutes", exitCode: exitCodes.notReady });
  });
  // the suite has the last word: a token that it does not take is no login
  const { subject } = await server.auth.getPrincipal(
    {},
    { signal: server.signal, headers: { authorization: `Bearer ${tokens.accessToken}` } },
  );
  const user = subject.case === "user" ? subject.value : undefined;
  return replaceLogin(context, connection, { kind: "oidc", name: user?.name ?? "", ...tokens, provider }, user);
}

function choose(providers: readonly LoginProvider[], name: string | undefined): LoginProvider {
  const [first, ...others] = name === undefined ? providers : providers.filter((provider) => provider.name === name);
  if (first !== undefined && others.length === 0) return first;
  if (first !== undefined)
    throw usageFailure(
      "the suite has more than one OpenID provider",
      `name one: ${providers.map((provider) => escapeLine(provider.name)).join(", ")}`,
    );
  throw usageFailure(
    name === undefined
      ? "the suite has no OpenID provider to log in at"
      : "the suite has no OpenID provider of that name",
    "`oidc[].login` of Auth's configuration names them",
  );
}
