import { createHash } from "node:crypto";

/** The namespace of URLs, RFC 9562 section 6.6. */
const urlNamespace = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";

/**
 * The user id of a subject of an OpenID provider: the version 5 UUID (RFC 9562) of the subject in the namespace of the issuer, so
 * that it is the same everywhere and for ever, and no two subjects share one.
 */
export function oidcUserId(issuer: string, subject: string): string {
  return nameBasedUuid(nameBasedUuid(urlNamespace, issuer), subject);
}

function nameBasedUuid(namespace: string, name: string): string {
  const hash = createHash("sha1")
    .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
    .update(name, "utf8")
    .digest();
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString("hex", 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
