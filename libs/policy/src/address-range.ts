import { type Address, formatAddress, parseAddress } from "./address.ts";

/** A CIDR range. */
export interface AddressRange {
  readonly base: Address;
  readonly prefixLength: number;
}

/**
 * Parses `address/length`, or a bare address as the range of itself alone.
 * Returns undefined for other spellings, and where the address has bits set below the prefix.
 */
export function parseAddressRange(text: string): AddressRange | undefined {
  const [addressText = "", lengthText, ...rest] = text.split("/");
  const base = parseAddress(addressText);
  if (base === undefined || rest.length > 0) return undefined;
  if (lengthText === undefined) return { base, prefixLength: base.length * 8 };
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const prefixLength = Number(lengthText);
  if (prefixLength > base.length * 8) return undefined;
  for (let bit = prefixLength; bit < base.length * 8; bit++) {
    if (((base[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) return undefined;
  }
  return { base, prefixLength };
}

/** The canonical text of a range, always with its prefix length. */
export function formatAddressRange(range: AddressRange): string {
  return `${formatAddress(range.base)}/${range.prefixLength}`;
}

/** Whether the range holds the address. An IPv4 range holds no IPv6 address, mapped ones included. */
export function rangeContains(range: AddressRange, address: Address): boolean {
  if (range.base.length !== address.length) return false;
  const whole = range.prefixLength >> 3;
  for (let index = 0; index < whole; index++) if (range.base[index] !== address[index]) return false;
  const rest = range.prefixLength & 7;
  if (rest === 0) return true;
  return ((range.base[whole] ?? 0) ^ (address[whole] ?? 0)) >> (8 - rest) === 0;
}
