/**
 * A real OpenID provider (npm's oidc-provider) as a process of its own: its first argument is its configuration, as JSON. Prints its
 * port when it listens. Anybody may log in: the login name is the subject, and the accounts of the configuration have their claims.
 */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Provider } from "oidc-provider";

/** What a provider is told. */
export interface ProviderConfiguration {
  /** 0 is any free one. */
  readonly port: number;
  /** Private keys; the first one signs. */
  readonly jwks: readonly object[];
  /** By subject, or by client id for programs: what their tokens say beside the rest. */
  readonly claims: Readonly<Record<string, object>>;
  readonly clients: readonly object[];
  /** The audience of every access token. */
  readonly audience: string;
  readonly accessTokenSeconds: number;
}

const { port, jwks, claims, clients, audience, accessTokenSeconds }: ProviderConfiguration = JSON.parse(
  await text(process.stdin),
);
let handle: RequestListener = (_, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));
server.listen(port, "127.0.0.1", () => {
  const bound = (server.address() as AddressInfo).port; // a TCP server that listens has one
  handle = createProvider(`http://127.0.0.1:${bound}`).callback();
  process.stdout.write(`${bound}\n`);
});

function createProvider(issuer: string): Provider {
  const resource = { scope: "sandgate", audience, accessTokenFormat: "jwt", accessTokenTTL: accessTokenSeconds };
  return new Provider(issuer, {
    clients,
    jwks: { keys: jwks },
    cookies: { keys: ["of a test"] },
    scopes: ["openid", "offline_access", "sandgate"],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:sandgate",
        useGrantedResource: () => true,
        getResourceServerInfo: () => resource,
      },
    },
    extraTokenClaims: (_: unknown, token: { accountId?: string; clientId?: string }) =>
      claims[token.accountId ?? token.clientId ?? ""],
    findAccount: (_: unknown, accountId: string) => ({
      accountId,
      claims: () => ({ sub: accountId, ...claims[accountId] }),
    }),
  });
}
