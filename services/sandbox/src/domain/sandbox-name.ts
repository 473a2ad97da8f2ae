import type { FieldFault } from "./request-faults.ts";

const allowed = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** What is wrong with a sandbox's name; undefined if nothing is. The name is never empty here. */
export function findNameFault(name: string): FieldFault | undefined {
  if (name.startsWith("sbx-")) return { field: "name", fault: 'must not start with "sbx-", which begins ids' };
  if (!allowed.test(name))
    return {
      field: "name",
      fault: "must be 1 to 63 lower-case letters, digits and dashes, with no dash at either end",
    };
  return undefined;
}
