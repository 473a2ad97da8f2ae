import { ServiceError } from "./service-error.ts";

/** The names, in lower case, that a flat list of names and values has more than once. */
export function repeatedHeaders(raw: readonly string[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    if (seen.has(name)) repeated.add(name);
    seen.add(name);
  }
  return repeated;
}

/** For who reads a header that was sent more than once: of two credentials none is taken, and neither is their absence. */
export function repeatedHeaderError(name: string): ServiceError {
  return new ServiceError("REQUEST_MALFORMED", "a header was sent more than once", { header: name });
}
