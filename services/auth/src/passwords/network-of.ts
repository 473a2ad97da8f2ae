import { isIPv4, isIPv6, SocketAddress } from "node:net";

/** The network that a client counts as: an IPv4 address, the /64 of an IPv6 address, or "local" for a Unix socket. */
export function networkOf(remoteAddress: string): string {
  const [address = ""] = remoteAddress.split("%");
  const mapped = address.startsWith("::ffff:") ? address.slice(7) : address;
  if (isIPv4(mapped)) return mapped;
  if (!isIPv6(address)) return "local";
  const groups = expand(new SocketAddress({ address, family: "ipv6" }).address);
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** The eight groups of an IPv6 address. */
function expand(address: string): readonly string[] {
  const [head = "", tail] = address.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array.from({ length: zeros }, () => "0"), ...after];
}
