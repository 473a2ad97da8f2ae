/** What an Authorization header carries. */
export type BearerCredential =
  | { readonly kind: "token"; readonly token: string }
  /** No header, another scheme, or a scheme with nothing behind it. */
  | { readonly kind: "missing" }
  | { readonly kind: "malformed" };

/**
 * Reads an Authorization header (RFC 9110, section 11.6.2; RFC 6750, section 2.1): the scheme in any case, spaces, a signed JWT. Two
 * headers, which arrive joined by a comma, are never a token.
 */
export function readBearerCredential(header: string | undefined): BearerCredential {
  const [, scheme, credential] = /^([^\s,]+)(?: +(.*))?$/.exec(header?.trim() ?? "") ?? [];
  if (scheme?.toLowerCase() !== "bearer" || credential === undefined) return { kind: "missing" };
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(credential) ? { kind: "token", token: credential } : { kind: "malformed" };
}
