import { ServiceError } from "@sandgate/rpc";
import { uuidPattern } from "../domain/ids.ts";

/** A request id in lower case; undefined for the empty one. Throws REQUEST_INVALID for one that is no UUID. */
export function readRequestId(requestId: string): string | undefined {
  if (requestId === "") return undefined;
  if (uuidPattern.test(requestId)) return requestId.toLowerCase();
  throw new ServiceError("REQUEST_INVALID", "a request id is a UUID", { field: "request_id" });
}
