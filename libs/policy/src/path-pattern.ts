/** What a request's path is to match: literal segments, `*` for any part of one segment, and at most one `**` for any number of them. */
export interface PathPattern {
  readonly before: readonly string[];
  /** The segments behind `**`; undefined where there is none. */
  readonly after: readonly string[] | undefined;
}

const maximumLength = 512;
const maximumSegments = 64;
const mostWildcards = 4;
/** Unreserved characters and sub-delimiters of RFC 3986, ":" and "@"; nothing that would have to be decoded first. */
const segmentPattern = /^[A-Za-z0-9._~!$&'()+,;=:@*-]*$/;

/** Reads a pattern such as `/v1/**` or `/static/*.css`. Undefined for what is none. */
export function parsePathPattern(text: string): PathPattern | undefined {
  if (!text.startsWith("/") || text.length > maximumLength) return undefined;
  const segments = text.slice(1).split("/");
  if (segments.length > maximumSegments) return undefined;
  const deep = segments.indexOf("**");
  const wellFormed = segments.every(
    (segment, index) =>
      index === deep ||
      (segmentPattern.test(segment) &&
        !segment.includes("**") &&
        !isDots(segment) &&
        segment.split("*").length <= mostWildcards + 1 &&
        (segment !== "" || index === segments.length - 1)),
  );
  if (!wellFormed) return undefined;
  return deep < 0
    ? { before: segments, after: undefined }
    : { before: segments.slice(0, deep), after: segments.slice(deep + 1) };
}

/**
 * The segments of a request target's path, decoded once; its query does not count. Undefined for a path that an origin may read in another
 * way than we do: with `.` or `..`, empty segments, or escapes of separators, of the escape itself or of no UTF-8.
 */
export function readPathSegments(target: string): readonly string[] | undefined {
  const [path = ""] = target.split("?", 1);
  if (!path.startsWith("/")) return undefined;
  const segments: string[] = [];
  const written = path.slice(1).split("/");
  for (const [index, segment] of written.entries()) {
    const decoded = decode(segment);
    // a parameter is part of the segment here, and is not for some servers
    if (decoded === undefined || isDots(decoded.split(";", 1)[0] ?? "")) return undefined;
    if (decoded === "" && index < written.length - 1) return undefined;
    segments.push(decoded);
  }
  return segments;
}

/** Whether a path's segments match. Costs no more than its length times the wildcards of a segment. */
export function matchesPath(pattern: PathPattern, segments: readonly string[]): boolean {
  const { before, after } = pattern;
  if (after === undefined) return before.length === segments.length && matchesAll(before, segments, 0);
  if (segments.length < before.length + after.length) return false;
  return matchesAll(before, segments, 0) && matchesAll(after, segments, segments.length - after.length);
}

function matchesAll(patterns: readonly string[], segments: readonly string[], from: number): boolean {
  return patterns.every((pattern, index) => matchesSegment(pattern, segments[from + index] ?? ""));
}

/** Each part between wildcards is found as early as it can be, the last at the end: then nothing has to be tried again. */
function matchesSegment(pattern: string, segment: string): boolean {
  const parts = pattern.split("*");
  const [first = ""] = parts;
  if (parts.length === 1) return first === segment;
  const last = parts.at(-1) ?? "";
  if (!segment.startsWith(first) || !segment.endsWith(last) || segment.length < first.length + last.length)
    return false;
  let at = first.length;
  const end = segment.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = segment.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}

function decode(segment: string): string | undefined {
  try {
    const decoded = decodeURIComponent(segment);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    return /[/\\%\x00-\x1f\x7f]/.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}
