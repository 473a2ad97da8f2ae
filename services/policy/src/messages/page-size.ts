import { ServiceError } from "@sandgate/rpc";

/** How many rows a page has: 100 for 0, at most 1000. Throws REQUEST_INVALID for a negative number. */
export function readPageSize(pageSize: number): number {
  if (pageSize < 0) throw new ServiceError("REQUEST_INVALID", "a page size is not negative", { field: "page_size" });
  return pageSize === 0 ? 100 : Math.min(pageSize, 1000);
}
