import { get } from "node:https";
import { text } from "node:stream/consumers";
import { createLocalJWKSet, decodeJwt, type JWTPayload, jwtVerify } from "jose";

/** What a relying party is told by its own operator; all else it learns by discovery. */
export interface RelyingParty {
  readonly issuer: string;
  readonly audience: string;
  /** PEM: whom it trusts to serve the issuer's documents. */
  readonly ca: string;
  /** host:port at which the issuer's name is reached, as DNS would say. */
  readonly issuerAddress: string;
}

/**
 * Verifies a token as a stranger to us does, by OpenID Connect Discovery 1.0 and the key set alone. Throws where a document cannot
 * be had over TLS with the issuer's name, names another issuer, or does not vouch for the token.
 */
export async function verifyByDiscovery(token: string, party: RelyingParty): Promise<JWTPayload> {
  if (decodeJwt(token).iss !== party.issuer) throw new Error("the token is of another issuer");
  const discovery = await fetchJson(`${party.issuer}/.well-known/openid-configuration`, party);
  if (discovery["issuer"] !== party.issuer) throw new Error("the discovery document is of another issuer");
  const keys = await fetchJson(String(discovery["jwks_uri"]), party);
  const algorithms = discovery["id_token_signing_alg_values_supported"];
  const { payload } = await jwtVerify(token, createLocalJWKSet(keys as { keys: [] }), {
    issuer: party.issuer,
    audience: party.audience,
    algorithms: (algorithms as string[]).filter((algorithm) => algorithm === "ES256"),
    requiredClaims: ["sub", "iat", "exp", "jti"],
  });
  return payload;
}

/** A document at an address of the issuer's host, whose name the certificate must carry. */
export function fetchJson(url: string, { ca, issuerAddress }: RelyingParty): Promise<Record<string, unknown>> {
  const { protocol, hostname, pathname } = new URL(url);
  if (protocol !== "https:") return Promise.reject(new Error("only https is fetched"));
  const separator = issuerAddress.lastIndexOf(":");
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  get(
    {
      host: issuerAddress.slice(0, separator),
      port: Number(issuerAddress.slice(separator + 1)),
      path: pathname,
      headers: { host: hostname },
      servername: hostname,
      ca,
      agent: false,
    },
    (response) => {
      text(response).then((body) => {
        if (response.statusCode === 200) resolve(JSON.parse(body));
        else reject(new Error(`${url} answered ${response.statusCode}`));
      }, reject);
    },
  ).on("error", reject);
  return promise;
}
