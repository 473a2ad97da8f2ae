/** What to do with a proxy's report. */
export type ReportPlan =
  /** The first sequence is below 1 or beyond all bounds, or the count of dropped ones is negative. */
  | { readonly kind: "malformed"; readonly field: "first_sequence" | "dropped" }
  /** Decisions are missing before the first that the report does not account for: the proxy still holds them. */
  | { readonly kind: "gap" }
  | { readonly kind: "repeated" }
  | {
      readonly kind: "store";
      /** So many of the report's decisions are stored already. */
      readonly skip: number;
      /** So many are missing before the first one that is new. */
      readonly dropped: bigint;
    };

const largestSequence = 2n ** 62n;

/**
 * Decides what of a report is new. `storedSequence` is how far the run has reported; undefined for a run never heard of,
 * which begins where it begins.
 */
export function planReport(
  storedSequence: bigint | undefined,
  report: { readonly firstSequence: bigint; readonly count: number; readonly dropped: bigint },
): ReportPlan {
  const { firstSequence, count, dropped } = report;
  if (firstSequence < 1n || firstSequence > largestSequence) return { kind: "malformed", field: "first_sequence" };
  if (dropped < 0n) return { kind: "malformed", field: "dropped" };
  if (count === 0) return { kind: "repeated" };
  if (storedSequence === undefined) return { kind: "store", skip: 0, dropped };
  const missing = firstSequence - storedSequence - 1n;
  if (missing > dropped) return { kind: "gap" };
  if (missing >= 0n) return { kind: "store", skip: 0, dropped };
  const known = Number(-missing);
  return known >= count ? { kind: "repeated" } : { kind: "store", skip: known, dropped: 0n };
}
