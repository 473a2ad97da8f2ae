import type { FieldFault } from "./request-faults.ts";

const maximumPathBytes = 4096;
const maximumDataBytes = 1024 * 1024;
const maximumMode = 0o777;

/** What is wrong with a path in a sandbox. `field` is its path in the request. */
export function findPathFaults(path: string, field: string): readonly FieldFault[] {
  if (path === "") return [{ field, fault: "is missing" }];
  if (path.includes("\0") || new TextEncoder().encode(path).length > maximumPathBytes)
    return [{ field, fault: "must be a path of at most 4096 bytes" }];
  return [];
}

/** What is wrong with permission bits. `field` is their path in the request. */
export function findModeFaults(mode: number, field: string): readonly FieldFault[] {
  return mode >= 0 && mode <= maximumMode ? [] : [{ field, fault: "must be at most 0777" }];
}

/** What is wrong with a piece of data. */
export function findDataFaults(data: Uint8Array): readonly FieldFault[] {
  return data.length <= maximumDataBytes ? [] : [{ field: "data", fault: "must have at most 1 MiB" }];
}
