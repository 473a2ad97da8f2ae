import { formatAddress, parseAddress } from "@sandgate/policy";

/** An IPv4 or IPv6 address in its one spelling; safe to be put into a command for the firewall. */
export interface ClientAddress {
  readonly family: 4 | 6;
  readonly text: string;
}

/**
 * Reads an address (E-15). An IPv4 address within an IPv6 one (`::ffff:192.0.2.7`) is that IPv4 address. Undefined for all else, also
 * for an address with a zone: it is another host's on another interface.
 */
export function readClientAddress(text: string | undefined): ClientAddress | undefined {
  const bytes = text === undefined ? undefined : parseAddress(text);
  if (bytes === undefined) return undefined;
  const isMapped = bytes.length === 16 && bytes.every((byte, at) => at > 11 || byte === (at < 10 ? 0 : 0xff));
  const address = isMapped ? bytes.slice(12) : bytes;
  return { family: address.length === 4 ? 4 : 6, text: formatAddress(address) };
}
