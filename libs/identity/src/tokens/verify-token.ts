import { compactVerify, errors } from "jose";
import { isCanonicalP256Signature } from "./ecdsa-signature.ts";
import type { KeySet } from "./key-set.ts";
import { ClaimsError, type ClaimsFault, readClaims } from "./read-claims.ts";
import { isBoundTo, type PresenterProof } from "./token-binding.ts";
import type { ClaimsByKind } from "./token-claims.ts";
import { type TokenKind, tokenRules } from "./token-kind.ts";

/** Nothing longer is looked at. */
export const MAX_TOKEN_LENGTH = 8192;

/** Why a token of ours was refused. "binding": its `cnf` is not what the connection that carried it has proved. */
export type TokenFault = "malformed" | "algorithm" | "signature" | "binding" | ClaimsFault;

/** What became of a token. */
export type TokenVerification<C> =
  /** `keyId`: the kid of the key that signed it. */
  | { readonly outcome: "verified"; readonly claims: C; readonly keyId: string }
  /** No token of this kind signed by a key of ours: the next authenticator's matter (G-03). */
  | { readonly outcome: "not_ours" }
  /** `detail` says it in plain words, for whoever holds the token; nothing of the token is in it. */
  | { readonly outcome: "rejected"; readonly fault: TokenFault; readonly detail: string };

/**
 * Verifies a token of one kind. A text that is no JWS, an unknown `kid` and the `typ` of another kind are not ours; anything else
 * that is not exactly as the kind demands is rejected. Throws only when the machine fails, never for what the token says.
 */
export async function verifyToken<K extends TokenKind>(
  kind: K,
  token: string,
  context: PresenterProof & {
    readonly keys: KeySet;
    readonly trustDomain: string;
    /** Milliseconds since the epoch. */
    readonly now: number;
    /** The relying party that asks, where it is not the kind's own. */
    readonly audience?: string | undefined;
  },
): Promise<TokenVerification<ClaimsByKind[K]>> {
  if (token.length > MAX_TOKEN_LENGTH) return rejected("malformed", "longer than 8192 characters");
  const segments = splitToken(token);
  const header = segments && parseRecord(segments.header);
  if (segments === undefined || header === undefined || typeof header.kid !== "string") return notOurs;
  const key = context.keys.find(header.kid);
  if (key === undefined || isTypeOfOtherKind(header.typ, kind)) return notOurs;

  const rule = tokenRules[kind];
  if (header.typ !== rule.type || Object.keys(header).length !== 3)
    return rejected("malformed", "a header with other members than typ, alg and kid, or of no known type");
  if (header.alg !== rule.algorithm || key.algorithm !== rule.algorithm)
    return rejected("algorithm", `not signed with ${rule.algorithm}`);
  if (!isCanonicalSignature(segments.signature, rule.algorithm))
    return rejected("signature", "a signature in another form than the one that we write");
  try {
    await compactVerify(token, key.key, { algorithms: [rule.algorithm] });
  } catch (cause) {
    if (cause instanceof errors.JOSEError) return rejected("signature", "not signed by the key that it names");
    throw cause;
  }
  const payload = parseRecord(segments.payload);
  if (payload === undefined) return rejected("malformed", "claims that are no JSON object");
  try {
    const claims = readClaims(kind, payload, context);
    if (!isBoundTo(claims, context)) return rejected("binding", "bound to another certificate");
    return { outcome: "verified", claims, keyId: key.kid };
  } catch (cause) {
    if (cause instanceof ClaimsError) return rejected(cause.fault, cause.message);
    throw cause;
  }
}

const notOurs = { outcome: "not_ours" } as const;

function rejected(fault: TokenFault, detail: string) {
  return { outcome: "rejected", fault, detail } as const;
}

function splitToken(token: string): { header: string; payload: string; signature: string } | undefined {
  const [, header, payload, signature] = /^([\w-]+)\.([\w-]+)\.([\w-]*)$/.exec(token) ?? [];
  if (header === undefined || payload === undefined || signature === undefined) return undefined;
  return { header, payload, signature };
}

function parseRecord(base64url: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(base64url, "base64url").toString("utf8"));
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
    return parsed as Record<string, unknown>; // a JSON object has string keys
  } catch {
    return undefined;
  }
}

function isTypeOfOtherKind(type: unknown, kind: TokenKind): boolean {
  return Object.entries(tokenRules).some(([other, rule]) => other !== kind && rule.type === type);
}

/** Both algorithms sign with 64 bytes, which base64url spells in one way only once the spare bits are zero. */
function isCanonicalSignature(signature: string, algorithm: "EdDSA" | "ES256"): boolean {
  const bytes = Buffer.from(signature, "base64url");
  if (bytes.length !== 64 || bytes.toString("base64url") !== signature) return false;
  return algorithm === "EdDSA" || isCanonicalP256Signature(bytes);
}
