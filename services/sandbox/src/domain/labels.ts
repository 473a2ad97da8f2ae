import type { FieldFault } from "./request-faults.ts";

/** What a sandbox is marked with. */
export type Labels = Readonly<Record<string, string>>;

const maximumLabels = 32;
const name = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const dnsName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
/** Ours, should we ever mark sandboxes ourselves. */
const reservedPrefix = /^(?:.*\.)?sandgate\.dev$/;

/** What is wrong with labels, which have Kubernetes' grammar. */
export function findLabelFaults(labels: Labels): FieldFault[] {
  const faults: FieldFault[] = [];
  const keys = Object.keys(labels);
  if (keys.length > maximumLabels) faults.push({ field: "labels", fault: `must be at most ${maximumLabels}` });
  if (!keys.every(isKey))
    faults.push({
      field: "labels",
      fault:
        "keys must be 1 to 63 letters, digits, dashes, underscores and dots between letters or digits, after a DNS name and a slash if there is a prefix",
    });
  if (keys.some((key) => key.includes("/") && reservedPrefix.test(key.slice(0, key.indexOf("/")))))
    faults.push({ field: "labels", fault: "keys must not have the prefix sandgate.dev" });
  if (!Object.values(labels).every((value) => value === "" || name.test(value)))
    faults.push({
      field: "labels",
      fault: "values must be empty or 1 to 63 letters, digits, dashes, underscores and dots between letters or digits",
    });
  return faults;
}

/** Labels in the one order in which two equal sets of them are equal texts. */
export function sortLabels(labels: Labels): readonly (readonly [string, string])[] {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}

function isKey(key: string): boolean {
  const slash = key.indexOf("/");
  if (slash < 0) return name.test(key);
  const prefix = key.slice(0, slash);
  return prefix.length <= 253 && dnsName.test(prefix) && name.test(key.slice(slash + 1));
}
