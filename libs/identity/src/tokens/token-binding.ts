import type { TokenClaims } from "./token-claims.ts";

/**
 * Whether a token may be presented over a connection with this certificate key (undefined: with none): one with `cnf.jkt` needs
 * that very key (RFC 7800), every other token needs none.
 */
export function isBoundTo(claims: TokenClaims, keyThumbprint: string | undefined): boolean {
  return !("keyThumbprint" in claims) || claims.keyThumbprint === keyThumbprint;
}
