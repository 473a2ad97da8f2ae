import { decodePageToken, type PageFilter, PageTokenError } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";

/**
 * Reads where the last page ended, as the strings that were put into its token. Undefined for the empty token: the first page.
 * Throws PAGE_TOKEN_INVALID for a token of another list or filter, or one whose parts do not have these forms.
 */
export function readPageToken<const P extends readonly RegExp[]>(
  token: string,
  parts: P,
  filter: PageFilter,
): { [K in keyof P]: string } | undefined {
  try {
    return decodePageToken(
      token,
      (position) => {
        const whole =
          Array.isArray(position) &&
          position.length === parts.length &&
          parts.every((part, index) => typeof position[index] === "string" && part.test(position[index]));
        if (!whole) throw new TypeError("not a position of this list");
        return position as { [K in keyof P]: string }; // as many strings as there are parts, each of its part's form
      },
      filter,
    );
  } catch (error) {
    if (!(error instanceof PageTokenError)) throw error;
    throw new ServiceError("PAGE_TOKEN_INVALID", "the page token does not belong to this list and filter");
  }
}
