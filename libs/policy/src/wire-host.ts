import { type Address, formatAddress, parseAddress } from "./address.ts";

/** A host as a client names it, in the one spelling that match, DNS, dial, SNI and audit use. */
export type Host =
  /** Lower-case A-labels, without a trailing dot. */
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "address"; readonly text: string; readonly address: Address };

/** A host and a port. */
export interface Authority {
  readonly host: Host;
  readonly port: number;
}

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Reads a host from the wire, byte for byte: letters, digits, dashes and underscores in labels of at most 63, at most 253
 * in all, upper case lowered and one trailing dot dropped; or an address in its strict spelling, IPv6 in brackets.
 * Returns undefined for everything else: nothing is decoded, mapped or guessed, and a name whose last label looks like a
 * number is no name.
 */
export function parseWireHost(text: string): Host | undefined {
  if (text.startsWith("[")) {
    if (!text.endsWith("]") || !text.includes(":")) return undefined;
    return addressHost(parseAddress(text.slice(1, -1)));
  }
  const name = parseHostName(text);
  if (name !== undefined) return { kind: "name", text: name };
  return text.includes(":") ? undefined : addressHost(parseAddress(text));
}

/** Reads a host name as `parseWireHost` does, but never an address. */
export function parseHostName(text: string): string | undefined {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name.length === 0 || name.length > 253) return undefined;
  // Lowered only once it is known to be ASCII: "K" (Kelvin) would become "k".
  if (!/^[A-Za-z0-9._-]+$/.test(name)) return undefined;
  const lower = name.toLowerCase();
  const labels = lower.split(".");
  if (!labels.every((part) => label.test(part))) return undefined;
  const last = labels.at(-1) ?? "";
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(last) ? undefined : lower;
}

/**
 * Reads `host:port` from the wire. The port is decimal without sign or leading zero, 1 to 65535; without one, the
 * default is taken if there is any, and the authority is refused if not.
 */
export function parseWireAuthority(text: string, defaultPort?: number): Authority | undefined {
  const hostEnd = text.startsWith("[") ? text.indexOf("]") + 1 : endOfName(text);
  if (hostEnd <= 0) return undefined;
  const host = parseWireHost(text.slice(0, hostEnd));
  if (host === undefined) return undefined;
  const rest = text.slice(hostEnd);
  if (rest === "") return defaultPort === undefined ? undefined : { host, port: defaultPort };
  if (!/^:[1-9][0-9]{0,4}$/.test(rest)) return undefined;
  const port = Number(rest.slice(1));
  return port > 65_535 ? undefined : { host, port };
}

function endOfName(text: string): number {
  const colon = text.indexOf(":");
  return colon < 0 ? text.length : colon;
}

function addressHost(address: Address | undefined): Host | undefined {
  return address === undefined ? undefined : { kind: "address", text: formatAddress(address), address };
}
