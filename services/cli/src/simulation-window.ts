import { parseDuration } from "./quantities.ts";

/** Which decisions on record a policy is tested against. */
export interface Window {
  /** The newest so many of each verdict. */
  readonly maxDecisions: number;
  readonly maxAgeMs: number | undefined;
}

const mostDecisions = 100_000;

/** Reads `last-7d`, or how many of the newest decisions; undefined for anything else. */
export function parseWindow(text: string): Window | undefined {
  if (/^[1-9][0-9]{0,5}$/.test(text)) {
    const maxDecisions = Number(text);
    return maxDecisions <= mostDecisions ? { maxDecisions, maxAgeMs: undefined } : undefined;
  }
  const maxAgeMs = text.startsWith("last-") ? parseDuration(text.slice("last-".length)) : undefined;
  return maxAgeMs === undefined ? undefined : { maxDecisions: mostDecisions, maxAgeMs };
}
