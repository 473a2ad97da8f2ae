import { ServiceError } from "@sandgate/rpc";
import type { FieldFault } from "../domain/request-faults.ts";

/** Throws REQUEST_INVALID with every fault unless there is none: `field` lists the fields, `faults` says what is wrong with each. */
export function requireNoFaults(faults: readonly FieldFault[]): void {
  if (faults.length === 0) return;
  throw new ServiceError("REQUEST_INVALID", "the request has fields that are not valid", {
    field: [...new Set(faults.map(({ field }) => field))].join(","),
    faults: faults.map(({ field, fault }) => `${field}: ${fault}`).join("; "),
  });
}
