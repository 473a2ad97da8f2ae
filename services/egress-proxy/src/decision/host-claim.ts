import { type Host, parseHostName } from "@sandgate/policy";

/**
 * Whether a token's `allowed_hosts` leaves this host to it. The claim only narrows: absent, it leaves everything to the
 * policy; an entry that is no host leaves nothing. Entries are exact names, `*.x` for what is below x, or `*`.
 */
export function claimLeaves(allowedHosts: readonly string[] | undefined, host: Host): boolean {
  if (allowedHosts === undefined) return true;
  return allowedHosts.some((entry) => {
    if (entry === "*") return true;
    if (host.kind === "address") return entry === host.text;
    const wildcard = entry.startsWith("*.");
    const name = parseHostName(wildcard ? entry.slice(2) : entry);
    if (name === undefined) return false;
    return wildcard ? host.text.endsWith(`.${name}`) : host.text === name;
  });
}
