import type { AccessService } from "@sandgate/api/access";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { LeaseTable } from "../domain/lease-table.ts";
import { grantMessage } from "./grant-message.ts";

const DEFAULT_PAGE = 100;
const LARGEST_PAGE = 1_000;
const isGrantId = /^[0-9a-f-]{36}$/;

/** AccessService.ListGrants: who is let in, in the order of the grants' ids, a page at a time. */
export function listGrants(deps: {
  readonly table: Pick<LeaseTable, "leases">;
  readonly clock: () => number;
  readonly monotonic: () => number;
}): Handler<typeof AccessService.method.listGrants> {
  return async ({ pageSize, pageToken }) => {
    if (pageSize < 0)
      throw new ServiceError("REQUEST_INVALID", "a page is not smaller than nothing", { field: "page_size" });
    if (pageToken !== "" && !isGrantId.test(pageToken))
      throw new ServiceError("REQUEST_INVALID", "this is no token of a page", { field: "page_token" });
    const rest = deps.table.leases.filter(({ id }) => id > pageToken).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const page = rest.slice(0, Math.min(pageSize || DEFAULT_PAGE, LARGEST_PAGE));
    return {
      grants: page.map((lease) => grantMessage(lease, deps)),
      nextPageToken: page.length < rest.length ? (page.at(-1)?.id ?? "") : "",
    };
  };
}
