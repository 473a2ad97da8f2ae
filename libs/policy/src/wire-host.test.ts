import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseWireAuthority, parseWireHost } from "./wire-host.ts";

const label63 = "a".repeat(63);
const name253 = `${label63}.${label63}.${label63}.${"a".repeat(61)}`;

describe("a host on the wire", () => {
  it.each([
    ["api.example.test", "api.example.test"],
    ["API.Example.TEST", "api.example.test"],
    ["api.example.test.", "api.example.test"],
    ["xn--bcher-kva.example.test", "xn--bcher-kva.example.test"],
    ["_dmarc.example.test", "_dmarc.example.test"],
    ["1e100.example", "1e100.example"],
    [name253, name253],
    ["93.184.216.34", "93.184.216.34"],
    ["[::1]", "::1"],
    ["[0:0:0:0:0:0:0:1]", "::1"],
    ["[2001:DB8:0:0:1:0:0:1]", "2001:db8::1:0:0:1"],
    ["[::ffff:1.2.3.4]", "::ffff:102:304"],
  ])("%s is read as %s", (text, canonical) => {
    expect(parseWireHost(text)?.text).toBe(canonical);
  });

  it.each([
    ["A04", "api.example.test.."],
    ["A05", ".api.example.test"],
    ["A14", "[api.example.test]"],
    ["A16", "api%2eexample%2etest"],
    ["A17", "api.example.test%00.evil.test"],
    ["A19", "api.example.test\r\nX: y"],
    ["A20", "user@api.example.test"],
    ["A22", "api.example.test\\@evil.test"],
    ["A37", "*"],
    ["A37", ""],
    ["A38", `${"a".repeat(64)}.test`],
    ["A38", `${name253}a`],
    ["A40", "-a.wild.example.test"],
    ["A40", "a-.wild.example.test"],
    ["A46", "xn--\u0080"],
    ["B04", "127.1"],
    ["B04", "127.0.1"],
    ["B05", "0x7f.0.0.1"],
    ["B05", "0x7f000001"],
    ["B05", "0177.0.0.1"],
    ["B05", "127.0.0.0x1"],
    ["B07", "2130706433"],
    ["B08", "0"],
    ["B25", "[::ffff:1.2.3.4%x.wild.example.test]"],
    ["B26", "::1"],
    ["B26", "[::1"],
    ["B26", "[1:2:3:4:5:6:7:8:9]"],
    ["B26", "[1::2::3]"],
    ["B26", "[:::]"],
    ["B26", "[12345::]"],
    ["1.2.3.4.", "1.2.3.4."],
    ["256", "1.2.3.256"],
    ["Kelvin sign", "\u212Aelvin.test"],
    ["full-width", "ａpi.example.test"],
    ["ideographic stop", "127。0。0。1"],
    ["soft hyphen", "api.exa\u00admple.test"],
    ["tab", "api.example.test\t"],
    ["newline", "api.example.test\n"],
  ])("%s: %j is no host", (_id, text) => {
    expect(parseWireHost(text)).toBeUndefined();
  });

  it("has one canonical form: reading it again changes nothing", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.domain(),
          fc.ipV4(),
          fc.ipV6().map((text) => `[${text}]`),
          fc.string(),
        ),
        (text) => {
          const host = parseWireHost(text);
          if (host === undefined) return;
          const again = parseWireHost(
            host.kind === "address" && host.text.includes(":") ? `[${host.text}]` : host.text,
          );
          expect(again).toEqual(host);
          expect(host.text).toMatch(/^[a-z0-9._:-]+$/);
        },
      ),
    );
  });
});

describe("an authority on the wire", () => {
  it.each([
    ["api.example.test:443", "api.example.test", 443],
    ["[::1]:1", "::1", 1],
    ["api.example.test.:65535", "api.example.test", 65535],
  ])("%s is read", (text, host, port) => {
    expect(parseWireAuthority(text)).toMatchObject({ host: { text: host }, port });
  });

  it.each([
    ["A23", "api.example.test:443@evil.test:443"],
    ["A25", "api.example.test:"],
    ["A25", "api.example.test"],
    ["A26", "api.example.test:0"],
    ["A26", "api.example.test:65536"],
    ["A26", "api.example.test:99999"],
    ["A28", "api.example.test:-1"],
    ["A29", "api.example.test:+443"],
    ["A29", "api.example.test:0443"],
    ["A31", "api.example.test:0x1bb"],
    ["A32", "api.example.test:443:80"],
    ["A35", "api.example.test:443/x"],
    ["A35", "api.example.test:443?x"],
    ["A37", ":443"],
    ["A37", "/x"],
    ["B26", "::1:443"],
    ["B26", "[::1]443"],
    ["", "http://api.example.test:443"],
    ["", "api.example.test:443 "],
    ["", "api.example.test:４４３"],
  ])("%s: %j is none", (_id, text) => {
    expect(parseWireAuthority(text)).toBeUndefined();
  });

  it("takes a default port only where there is one", () => {
    expect(parseWireAuthority("api.example.test", 80)?.port).toBe(80);
    expect(parseWireAuthority("api.example.test:", 80)).toBeUndefined();
  });
});
