import type { Address } from "./address.ts";
import { type AddressRange, parseAddressRange, rangeContains } from "./address-range.ts";

/**
 * How far an address may be reached: `public` by any rule that allows the name, `private` only where the rule's
 * `allowed_ips` name it, `never` by no rule at all.
 */
export type AddressReach = "public" | "private" | "never";

/**
 * Classifies an address by the IANA special-purpose registries and the clouds' metadata addresses. IPv6 that carries an
 * IPv4 address in a tunnel or mapping is `never`, except NAT64, which is `private` unless the IPv4 address in it is `never`.
 */
export function reachOf(address: Address): AddressReach {
  if (address.length === 4) return reachOfIPv4(address);
  if (address.length === 16) return reachOfIPv6(address);
  return "never";
}

/**
 * Whether a host of an allowed request may be dialled at this address: a public one always, a private one if a range of
 * the matching rules holds it. A NAT64 address needs its own range, and the IPv4 address in it must pass by itself.
 */
export function vetAddress(allowedRanges: readonly AddressRange[], address: Address): boolean {
  const reach = reachOf(address);
  if (reach !== "private") return reach === "public";
  if (!allowedRanges.some((range) => rangeContains(range, address))) return false;
  return !isNat64(address) || vetAddress(allowedRanges, address.subarray(12));
}

/** Whether no address of the range may ever be reached. */
export function isNeverRange(range: AddressRange): boolean {
  const never = range.base.length === 4 ? neverIPv4 : neverIPv6;
  return never.some((known) => known.prefixLength <= range.prefixLength && rangeContains(known, range.base));
}

const ranges = (...texts: string[]): readonly AddressRange[] =>
  texts.map((text) => {
    const range = parseAddressRange(text);
    if (range === undefined) throw new TypeError(`not a range: ${text}`);
    return range;
  });

const neverIPv4 = ranges(
  "0.0.0.0/8", // this network; 0.0.0.0 connects to the local host on Linux
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, with the metadata addresses of most clouds
  "192.0.0.0/24", // IETF protocol assignments, with Oracle's metadata address 192.0.0.192
  "168.63.129.16/32", // Azure WireServer
  "100.100.100.200/32", // Alibaba Cloud metadata
  "192.88.99.0/24", // 6to4 relays
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, and broadcast
);

const privateIPv4 = ranges(
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10", // carrier-grade NAT
  "198.18.0.0/15", // benchmarking
  "192.0.2.0/24", // documentation
  "198.51.100.0/24",
  "203.0.113.0/24",
);

const neverIPv6 = ranges(
  "::/96", // unspecified, loopback, IPv4-compatible
  "::ffff:0:0/96", // IPv4-mapped
  "100::/64", // discard
  "100:0:0:1::/64", // dummy
  "2001::/23", // IETF protocol assignments, with Teredo
  "2002::/16", // 6to4
  "5f00::/16", // segment routing
  "fe80::/10", // link-local
  "fec0::/10", // site-local, deprecated
  "ff00::/8", // multicast
  "fd00:ec2::/32", // AWS metadata, DNS and time
  "fd20:ce::/32", // Google Cloud metadata
  "fd00:c1::/32", // Oracle metadata
  "fd00:42::42/128", // Scaleway metadata
);

const nat64 = ranges("64:ff9b::/96", "64:ff9b:1::/48");

const privateIPv6 = ranges(
  "fc00::/7", // unique local
  "2001:db8::/32", // documentation
  "3fff::/20",
);

const globalUnicast = ranges("2000::/3");

function reachOfIPv4(address: Address): AddressReach {
  if (holds(neverIPv4, address)) return "never";
  return holds(privateIPv4, address) ? "private" : "public";
}

function reachOfIPv6(address: Address): AddressReach {
  if (isNat64(address)) return reachOfIPv4(address.subarray(12)) === "never" ? "never" : "private";
  if (holds(neverIPv6, address) || isIsatap(address)) return "never";
  if (holds(privateIPv6, address)) return "private";
  return holds(globalUnicast, address) ? "public" : "never";
}

function isNat64(address: Address): boolean {
  return holds(nat64, address);
}

/** RFC 5214: an interface identifier 0000:5efe or 0200:5efe followed by the IPv4 address of the tunnel's end. */
function isIsatap(address: Address): boolean {
  return (address[8] === 0 || address[8] === 2) && address[9] === 0 && address[10] === 0x5e && address[11] === 0xfe;
}

function holds(known: readonly AddressRange[], address: Address): boolean {
  return known.some((range) => rangeContains(range, address));
}
