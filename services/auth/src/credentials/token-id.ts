import { createHash, randomBytes } from "node:crypto";

/** A new jti: 32 random bytes, base64url (S0-03). */
export function newTokenId(): string {
  return randomBytes(32).toString("base64url");
}

/** How a bootstrap credential's jti is kept. */
export function hashTokenId(tokenId: string): string {
  return createHash("sha256").update(tokenId).digest("hex");
}
