import { createHash } from "node:crypto";

/** A page token that we did not make, or made for another filter. Handlers answer PAGE_TOKEN_INVALID. */
export class PageTokenError extends Error {
  override readonly name = "PageTokenError";
}

/** The fields of a request that select rows; a token only continues the list it came from. */
export type PageFilter = Readonly<Record<string, string>>;

const maximumLength = 2_048;

/** Makes the opaque token for the rows after `position` (anything JSON can carry, such as the last row's sort key). */
export function encodePageToken(position: unknown, filter: PageFilter = {}): string {
  return Buffer.from(JSON.stringify({ p: position, f: fingerprint(filter) })).toString("base64url");
}

/**
 * Reads a token; undefined for the empty one, which asks for the first page. `parse` checks the position and throws if it is
 * not one. Throws PageTokenError for anything that `encodePageToken` would not have made with this filter.
 */
export function decodePageToken<T>(
  token: string,
  parse: (position: unknown) => T,
  filter: PageFilter = {},
): T | undefined {
  if (token === "") return undefined;
  if (token.length > maximumLength || !/^[A-Za-z0-9_-]+$/.test(token))
    throw new PageTokenError("page token is not valid");
  try {
    const content: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    if (
      typeof content === "object" &&
      content !== null &&
      "p" in content &&
      "f" in content &&
      content.f === fingerprint(filter)
    )
      return parse(content.p);
  } catch (cause) {
    throw new PageTokenError("page token is not valid", { cause });
  }
  throw new PageTokenError("page token belongs to another list");
}

function fingerprint(filter: PageFilter): string {
  const entries = Object.entries(filter).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(entries)).digest("base64url").slice(0, 11);
}
