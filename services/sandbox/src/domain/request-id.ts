import type { FieldFault } from "./request-faults.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether a text is a UUID. */
export function isUuid(text: string): boolean {
  return uuid.test(text);
}

/** What is wrong with a mutation's request id; undefined if nothing is. */
export function findRequestIdFault(requestId: string): FieldFault | undefined {
  return isUuid(requestId) ? undefined : { field: "request_id", fault: "must be a UUID" };
}
