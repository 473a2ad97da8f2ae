import { ServiceError } from "@sandgate/rpc";

/** What to do with a proxy's report. */
export type ReportPlan =
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
 * which begins where it begins. Throws DECISION_SEQUENCE_INVALID for a gap that the report does not account for, since the
 * proxy still holds what is missing.
 */
export function planReport(
  storedSequence: bigint | undefined,
  report: { readonly firstSequence: bigint; readonly count: number; readonly dropped: bigint },
): ReportPlan {
  const { firstSequence, count, dropped } = report;
  if (firstSequence < 1n || firstSequence > largestSequence)
    throw new ServiceError("DECISION_SEQUENCE_INVALID", "a sequence is out of bounds", { field: "first_sequence" });
  if (dropped < 0n) throw new ServiceError("REQUEST_INVALID", "a count is not negative", { field: "dropped" });
  if (count === 0) return { kind: "repeated" };
  if (storedSequence === undefined) return { kind: "store", skip: 0, dropped };
  const missing = firstSequence - storedSequence - 1n;
  if (missing > dropped)
    throw new ServiceError("DECISION_SEQUENCE_INVALID", "decisions are missing before the first", {
      field: "first_sequence",
      stored_sequence: String(storedSequence),
    });
  if (missing >= 0n) return { kind: "store", skip: 0, dropped };
  const known = Number(-missing);
  return known >= count ? { kind: "repeated" } : { kind: "store", skip: known, dropped: 0n };
}
