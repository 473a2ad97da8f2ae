import { decodePageToken, encodePageToken, type PageFilter, PageTokenError } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import type { ListRange } from "../store/user-directory.ts";

const largestPage = 1_000;

/** What a request wants of a list whose rows have a text as their place. */
export function readPage(
  request: { readonly pageSize: number; readonly pageToken: string },
  filter: PageFilter,
): ListRange {
  if (request.pageSize < 0 || request.pageSize > largestPage)
    throw new ServiceError("REQUEST_INVALID", "a page has at most 1000 entries", { field: "page_size" });
  try {
    const after = decodePageToken(request.pageToken, requireText, filter);
    return { after, limit: request.pageSize === 0 ? 100 : request.pageSize };
  } catch (cause) {
    if (!(cause instanceof PageTokenError)) throw cause;
    throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not of this list", {}, { cause });
  }
}

/** One page of what was read with one more than the page holds, and the token of the next. */
export function pageOf<T>(
  found: readonly T[],
  range: ListRange,
  placeOf: (entry: T) => string,
  filter: PageFilter,
): { readonly page: readonly T[]; readonly nextPageToken: string } {
  const page = found.slice(0, range.limit);
  const last = page.at(-1);
  const hasMore = found.length > range.limit && last !== undefined;
  return { page, nextPageToken: hasMore ? encodePageToken(placeOf(last), filter) : "" };
}

function requireText(position: unknown): string {
  if (typeof position !== "string") throw new TypeError("not a place in this list");
  return position;
}
