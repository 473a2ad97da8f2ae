import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as client from "openid-client";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import type { OidcLogin } from "./stored-login.ts";

/** What a provider gave, as it is kept. */
export type OidcTokens = Pick<OidcLogin, "accessToken" | "accessExpiresAtMs"> & { readonly refreshToken?: string };

type Provider = OidcLogin["provider"];

const requestSeconds = 15;

/**
 * Logs in with a browser of this machine: authorization code with PKCE (RFC 7636) on a loopback redirect (RFC 8252). `show` is told the
 * address to open. Refuses an answer without the state, the nonce or the issuer (RFC 9207) of this very login, and waits on for the right one.
 */
export async function loginInBrowser(
  provider: Provider,
  options: { readonly scopes: readonly string[]; readonly signal: AbortSignal; readonly show: (url: string) => void },
): Promise<OidcTokens> {
  const configuration = await discover(provider);
  const codeVerifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const redirect = await receiveRedirect(state, options.signal);
  try {
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: redirect.uri,
      scope: options.scopes.join(" "),
      code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: "S256",
      state,
      nonce,
      ...resourceOf(provider),
      // without it a provider gives no refresh token (OpenID Connect Core 1.0, section 11)
      ...(options.scopes.includes("offline_access") && { prompt: "consent" }),
    });
    options.show(url.href);
    const { url: answer, respond } = await redirect.answered;
    try {
      const tokens = await client.authorizationCodeGrant(
        configuration,
        answer,
        {
          pkceCodeVerifier: codeVerifier,
          expectedState: state,
          expectedNonce: nonce,
          idTokenExpected: provider.usesIdToken,
        },
        resourceOf(provider),
      );
      respond(200, "You are logged in; this page can be closed.");
      return toTokens(provider, tokens);
    } catch (fault) {
      respond(400, "The login failed; the terminal says why.");
      throw describeFault(fault);
    }
  } finally {
    redirect.close();
  }
}

/** Logs in with a browser of any machine: device authorization (RFC 8628). `show` is told where to go and the code to enter there. */
export async function loginByDevice(
  provider: Provider,
  options: {
    readonly scopes: readonly string[];
    readonly signal: AbortSignal;
    readonly show: (url: string, code: string) => void;
  },
): Promise<OidcTokens> {
  const configuration = await discover(provider);
  try {
    const device = await client.initiateDeviceAuthorization(configuration, {
      scope: options.scopes.join(" "),
      ...resourceOf(provider),
      ...(options.scopes.includes("offline_access") && { prompt: "consent" }),
    });
    options.show(device.verification_uri, device.user_code);
    const tokens = await client.pollDeviceAuthorizationGrant(configuration, device, resourceOf(provider), {
      signal: options.signal,
    });
    return toTokens(provider, tokens);
  } catch (fault) {
    throw describeFault(fault);
  }
}

/** New tokens for a refresh token; undefined when the provider does not take it any more. */
export async function refreshTokens(provider: Provider, refreshToken: string): Promise<OidcTokens | undefined> {
  const configuration = await discover(provider);
  try {
    return toTokens(provider, await client.refreshTokenGrant(configuration, refreshToken, resourceOf(provider)));
  } catch (fault) {
    if (fault instanceof client.ResponseBodyError && fault.error === "invalid_grant") return undefined;
    throw describeFault(fault);
  }
}

/** Ends a refresh token at the provider (RFC 7009), where it can be ended. */
export async function revokeRefreshToken(provider: Provider, refreshToken: string): Promise<void> {
  const configuration = await discover(provider);
  if (configuration.serverMetadata().revocation_endpoint === undefined) return;
  try {
    await client.tokenRevocation(configuration, refreshToken, { token_type_hint: "refresh_token" });
  } catch (fault) {
    throw describeFault(fault);
  }
}

async function discover(provider: Provider): Promise<client.Configuration> {
  const issuer = new URL(provider.issuer);
  const isLoopback = issuer.protocol === "http:" && /^(127\.\d+\.\d+\.\d+|\[::1\])$/.test(issuer.hostname);
  try {
    return await client.discovery(issuer, provider.clientId, undefined, client.None(), {
      timeout: requestSeconds,
      // a provider on this machine, in development: nobody is in between
      ...(isLoopback && { execute: [client.allowInsecureRequests] }),
    });
  } catch (fault) {
    throw describeFault(fault);
  }
}

function resourceOf({ resource }: Provider): Record<string, string> {
  return resource === "" ? {} : { resource };
}

function toTokens(
  provider: Provider,
  tokens: client.TokenEndpointResponse & client.TokenEndpointResponseHelpers,
): OidcTokens {
  const token = provider.usesIdToken ? tokens.id_token : tokens.access_token;
  const lifeSeconds = tokens.expiresIn() ?? 60;
  const expiresAtMs = provider.usesIdToken ? (tokens.claims()?.exp ?? 0) * 1000 : Date.now() + lifeSeconds * 1000;
  if (token === undefined)
    throw new CommandFailure({
      message: "the OpenID provider gave no ID token",
      mend: "add openid to oidc.login.scopes of the suite",
      exitCode: exitCodes.denied,
    });
  return {
    accessToken: token,
    accessExpiresAtMs: expiresAtMs,
    ...(tokens.refresh_token === undefined ? {} : { refreshToken: tokens.refresh_token }),
  };
}

interface Redirect {
  readonly uri: string;
  /** The first answer that has the state; whoever else calls is turned away. */
  readonly answered: Promise<{ readonly url: URL; readonly respond: (status: number, text: string) => void }>;
  close(): void;
}

async function receiveRedirect(state: string, signal: AbortSignal): Promise<Redirect> {
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<Redirect["answered"]>>();
  promise.catch(() => undefined); // nobody may have begun to wait
  let isTaken = false;
  let uri = "";
  const server = createServer((request, response) => {
    const url = URL.canParse(request.url ?? "", uri) ? new URL(request.url ?? "", uri) : undefined;
    const isAnswer = url?.pathname === "/callback" && url.searchParams.get("state") === state && !isTaken;
    if (url === undefined || !isAnswer)
      return answer(response, 404, "This is not the answer of a login that was begun here.");
    isTaken = true;
    resolve({ url, respond: (status, text) => answer(response, status, text) });
  });
  server.headersTimeout = 5_000;
  await new Promise<void>((listening, failed) => {
    server.once("error", failed);
    server.listen(0, "127.0.0.1", listening);
  });
  uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`; // a TCP server that listens has one
  const giveUp = (): void => reject(signal.reason);
  signal.addEventListener("abort", giveUp, { once: true });
  return {
    uri,
    answered: promise,
    close: () => {
      signal.removeEventListener("abort", giveUp);
      server.close();
      server.closeIdleConnections();
    },
  };
}

function answer(response: ServerResponse, status: number, text: string): void {
  response
    .writeHead(status, {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      connection: "close",
    })
    .end(`${text}\n`);
}

/** The provider's own words are not repeated, but for its error code. */
function describeFault(fault: unknown): unknown {
  if (fault instanceof CommandFailure) return fault;
  if (fault instanceof client.ResponseBodyError || fault instanceof client.AuthorizationResponseError)
    return new CommandFailure(
      {
        message: `the OpenID provider refused the login: ${/^[a-z_]{1,64}$/.test(fault.error) ? fault.error : "unknown error"}`,
        mend: "log in again, or ask who runs the provider",
        exitCode: exitCodes.denied,
      },
      { cause: fault },
    );
  if (fault instanceof client.ClientError || isNetworkFault(fault))
    return new CommandFailure(
      {
        message: "the OpenID provider cannot be reached, or its answer is not to be trusted",
        mend: "try again; NODE_EXTRA_CA_CERTS names the authority of a provider that the machine does not know",
        exitCode: exitCodes.unavailable,
      },
      { cause: fault },
    );
  return fault;
}

/** fetch has no error of its own: what it could not reach is a TypeError with that message, what took too long a TimeoutError. */
function isNetworkFault(fault: unknown): boolean {
  if (!(fault instanceof Error)) return false;
  return (fault instanceof TypeError && fault.message === "fetch failed") || fault.name === "TimeoutError";
}
