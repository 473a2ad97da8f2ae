import type { FieldFault } from "./request-faults.ts";

/** How many rows a page has: 100 for 0, at most 1000. */
export function readPageSize(pageSize: number): { readonly limit: number; readonly faults: readonly FieldFault[] } {
  if (pageSize < 0) return { limit: 0, faults: [{ field: "page_size", fault: "must not be negative" }] };
  return { limit: pageSize === 0 ? 100 : Math.min(pageSize, 1000), faults: [] };
}
