import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatAddress, parseAddress } from "./address.ts";
import { formatAddressRange, parseAddressRange, rangeContains } from "./address-range.ts";
import { reachOf, vetAddress } from "./address-reach.ts";

const range = (text: string) => {
  const parsed = parseAddressRange(text);
  if (parsed === undefined) throw new TypeError(text);
  return parsed;
};
const address = (text: string) => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new TypeError(text);
  return parsed;
};

describe("the reach of an address (B08-B47, D-59)", () => {
  it.each([
    ["93.184.216.34", "public"],
    ["2606:2800:220:1:248:1893:25c8:1946", "public"],
    ["172.15.255.255", "public"],
    ["172.32.0.0", "public"],
    ["10.0.0.5", "private"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["192.168.1.1", "private"],
    ["100.64.0.1", "private"],
    ["198.18.0.1", "private"],
    ["203.0.113.9", "private"],
    ["fd12:3456::1", "private"],
    ["2001:db8::1", "private"],
    ["64:ff9b::a00:5", "private"],
    ["64:ff9b::5db8:d822", "private"],
    ["0.0.0.0", "never"],
    ["0.1.2.3", "never"],
    ["127.0.0.1", "never"],
    ["127.255.255.254", "never"],
    ["169.254.169.254", "never"],
    ["169.254.170.2", "never"],
    ["168.63.129.16", "never"],
    ["192.0.0.192", "never"],
    ["100.100.100.200", "never"],
    ["224.0.0.1", "never"],
    ["239.255.255.255", "never"],
    ["240.0.0.1", "never"],
    ["255.255.255.255", "never"],
    ["::", "never"],
    ["::1", "never"],
    ["::127.0.0.1", "never"],
    ["::ffff:10.0.0.5", "never"],
    ["::ffff:93.184.216.34", "never"],
    ["::ffff:0:93.184.216.34", "never"],
    ["64:ff9b::a9fe:a9fe", "never"],
    ["64:ff9b:1::7f00:1", "never"],
    ["2002:a9fe:a9fe::1", "never"],
    ["2001:0:4136:e378:8000:63bf:5601:5601", "never"],
    ["2606:2800::5efe:7f00:1", "never"],
    ["fe80::1", "never"],
    ["fec0::1", "never"],
    ["ff02::1", "never"],
    ["fd00:ec2::254", "never"],
    ["fd20:ce::254", "never"],
    ["100::1", "never"],
    ["4000::1", "never"],
    ["5f00::1", "never"],
  ] as const)("%s is %s", (text, reach) => {
    expect(reachOf(address(text))).toBe(reach);
  });

  it("is never for bytes that are no address", () => {
    expect(reachOf(new Uint8Array(5))).toBe("never");
    expect(reachOf(new Uint8Array(0))).toBe("never");
  });
});

describe("vetting an address", () => {
  it.each([
    ["93.184.216.34", [], true],
    ["10.9.1.2", [], false],
    ["10.9.1.2", ["10.9.0.0/16"], true],
    ["10.8.1.2", ["10.9.0.0/16"], false],
    ["::ffff:10.9.1.2", ["10.9.0.0/16", "::ffff:0:0/96"], false],
    ["169.254.169.254", ["169.254.0.0/16"], false],
    ["127.0.0.1", ["127.0.0.0/8"], false],
    ["64:ff9b::5db8:d822", [], false],
    ["64:ff9b::5db8:d822", ["64:ff9b::/96"], true],
    ["64:ff9b::a00:5", ["64:ff9b::/96"], false],
    ["64:ff9b::a00:5", ["64:ff9b::/96", "10.0.0.0/8"], true],
    ["fd12::1", ["fd12::/16"], true],
  ] as const)("%s with %j: %s", (text, ranges, passes) => {
    expect(vetAddress(ranges.map(range), address(text))).toBe(passes);
  });
});

describe("parsing an address", () => {
  it("reads what net.isIP reads, and writes it so that it reads back", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), fc.ipV4Extended()), (text) => {
        const parsed = parseAddress(text);
        expect(parsed !== undefined).toBe(isIP(text) !== 0);
        if (parsed !== undefined) expect(parseAddress(formatAddress(parsed))).toEqual(parsed);
      }),
    );
  });

  it.each([
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["1:0:0:0:0:0:0:0", "1::"],
  ])("%s is written %s (RFC 5952)", (text, canonical) => {
    expect(formatAddress(address(text))).toBe(canonical);
  });
});

describe("a range", () => {
  it.each(["10.9.1.2/16", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8", "x/8", "::/129", "10.0.0.0/"])(
    "%s is refused",
    (text) => {
      expect(parseAddressRange(text)).toBeUndefined();
    },
  );

  it("holds the addresses that share its prefix, bit for bit", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.nat(32), (one, other, length) => {
        const bits = (text: string) => [...address(text)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
        const base = bits(one).slice(0, length).padEnd(32, "0");
        const text = [0, 8, 16, 24].map((start) => Number.parseInt(base.slice(start, start + 8), 2)).join(".");
        const parsed = range(`${text}/${length}`);
        expect(formatAddressRange(parsed)).toBe(`${text}/${length}`);
        expect(rangeContains(parsed, address(other))).toBe(bits(other).startsWith(base.slice(0, length)));
      }),
    );
  });
});
