import { domainToASCII, domainToUnicode } from "node:url";
import { parseHostName } from "./wire-host.ts";

/** Names that no policy can open: they mean the proxy's own machine, or a cloud's credentials. */
export function isForbiddenName(name: string): boolean {
  return name === "localhost" || name.endsWith(".localhost") || forbiddenNames.has(name);
}

const forbiddenNames: ReadonlySet<string> = new Set([
  "metadata.google.internal",
  "metadata.goog",
  "instance-data.ec2.internal",
]);

/**
 * Reads a host as a person writes it in a policy: a name or `*.name`, in any script, and returns it in A-labels, lower
 * case. Throws HostFault with plain words for what is no host name.
 */
export function parseAuthoredHost(text: string): string {
  const wildcard = text.startsWith("*.");
  const written = wildcard ? text.slice(2) : text;
  if (wildcard ? written === "" : written === "*")
    throw new HostFault("a wildcard needs a name below which it matches, as in *.example.com");
  if (written.includes("*")) throw new HostFault("a wildcard stands only as the first label, as in *.example.com");
  if (/[\p{Cc}\p{Cs}\p{Z}\p{Default_Ignorable_Code_Point}]/u.test(written))
    throw new HostFault("a host has no spaces, control characters or invisible characters");
  if (!/^[A-Za-z0-9._\-\P{ASCII}]+$/u.test(written))
    throw new HostFault("a host is a name alone, without scheme, port, path, user or address brackets");
  const name = parseHostName(/\P{ASCII}/u.test(written) ? domainToASCII(written) : written);
  if (name === undefined || !name.split(".").every(isSoundLabel))
    throw new HostFault("a host is a name of labels of letters, digits and dashes; addresses go into allowed_ips");
  if (isForbiddenName(name)) throw new HostFault("this name is never reachable from a sandbox");
  return wildcard ? `*.${name}` : name;
}

/** An A-label must decode to something, and back to itself. */
function isSoundLabel(label: string): boolean {
  if (!label.startsWith("xn--")) return true;
  const unicode = domainToUnicode(label);
  return unicode !== label && domainToASCII(unicode) === label;
}

/** Why a text is no host. */
export class HostFault extends Error {
  override readonly name = "HostFault";
}
