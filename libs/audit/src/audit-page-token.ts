import { createHash } from "node:crypto";

/** A page token that we did not make, or made for another list. Handlers answer PAGE_TOKEN_INVALID. */
export class AuditPageTokenError extends Error {
  override readonly name = "AuditPageTokenError";
}

/** Makes the token for the events before `sequence`, for this filter only. */
export function encodeAuditPageToken(sequence: bigint, filter: readonly string[]): string {
  return Buffer.from(`${sequence}.${fingerprint(filter)}`).toString("base64url");
}

/** The number that a token continues before; undefined for the empty token. Throws AuditPageTokenError. */
export function decodeAuditPageToken(token: string, filter: readonly string[]): bigint | undefined {
  if (token === "") return undefined;
  const text = token.length <= 64 && /^[\w-]+$/.test(token) ? Buffer.from(token, "base64url").toString("latin1") : "";
  const [, sequence, print] = /^([1-9]\d{0,17})\.([\w-]{11})$/.exec(text) ?? [];
  if (sequence === undefined || print !== fingerprint(filter))
    throw new AuditPageTokenError("page token is not of this list");
  return BigInt(sequence);
}

function fingerprint(filter: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(filter)).digest("base64url").slice(0, 11);
}
