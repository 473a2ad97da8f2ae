import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type BenchSandbox, basic, ProxyBench, publicAddress } from "./proxy-bench.ts";
import { expectVerdict } from "./verdict.ts";

const bench = new ProxyBench();
let s1: BenchSandbox;

beforeAll(async () => {
  await bench.start();
  s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa");
});
beforeEach(() => bench.forget());
afterAll(() => bench.stop());

const label63 = "a".repeat(63);

/** CONNECT in HTTP/1.0, without Host: the target alone is judged. */
describe("authority and host spelling", () => {
  it.each([
    ["A01", "api.example.test:443", "ALLOW"],
    ["A02", "API.Example.TEST:443", "ALLOW"],
    ["A03", "api.example.test.:443", "ALLOW"],
    ["A04", "api.example.test..:443", "E400 noDNS"],
    ["A05", ".api.example.test:443", "E400 noDNS"],
    ["A07", "api.example.test.evil.test:443", "D(host_not_allowed) noDNS"],
    ["A08", "a.wild.example.test:443", "ALLOW"],
    ["A10", "wild.example.test:443", "D(host_not_allowed) noDNS"],
    ["A11", "xwild.example.test:443", "D(host_not_allowed) noDNS"],
    ["A13", "SECRET.wild.example.test.:443", "D(host_not_allowed) noDNS"],
    ["A14", "[api.example.test]:443", "E400 noDNS"],
    ["A16", "api%2eexample%2etest:443", "E400 noDNS"],
    ["A17", "api.example.test%00.evil.test:443", "E400 noDNS"],
    ["A19", "api.example.test\r\nX: y:443", "E400 noDNS"],
    ["A20", "user@api.example.test:443", "E400 noDNS"],
    ["A20", "user:secret@api.example.test:443", "E400 noDNS"],
    ["A22", "api.example.test\\@evil.test:443", "E400 noDNS"],
    ["A23", "api.example.test:443@evil.test:443", "E400 noDNS"],
    ["A25", "api.example.test:", "E400 noDNS"],
    ["A25", "api.example.test", "E400 noDNS"],
    ["A26", "api.example.test:0", "E400 noDNS"],
    ["A26", "api.example.test:65536", "E400 noDNS"],
    ["A26", "api.example.test:99999", "E400 noDNS"],
    ["A28", "api.example.test:-1", "E400 noDNS"],
    ["A29", "api.example.test:+443", "E400 noDNS"],
    ["A29", "api.example.test:0443", "E400 noDNS"],
    ["A31", "api.example.test:0x1bb", "E400 noDNS"],
    ["A32", "api.example.test:443:80", "E400 noDNS"],
    ["A34", "api.example.test:22", "D(port_not_allowed) noDNS"],
    ["A35", "api.example.test:443/x", "E400 noDNS"],
    ["A35", "api.example.test:443?x", "E400 noDNS"],
    ["A35", "api.example.test:443#x", "E400 noDNS"],
    ["A37", "*", "E400 noDNS"],
    ["A37", "/x", "E400 noDNS"],
    ["A37", ":443", "E400 noDNS"],
    ["A37", "http://api.example.test:443", "E400 noDNS"],
    ["A38", `${"a".repeat(64)}.wild.example.test:443`, "E400 noDNS"],
    ["A38", `${label63}.${label63}.${label63}.${"a".repeat(44)}.wild.example.test:443`, "E400 noDNS"],
    ["A40", "-a.wild.example.test:443", "E400 noDNS"],
    ["A41", "xn--bcher-kva.example.test:443", "ALLOW"],
    ["A46", "xn--a:443", "D(host_not_allowed) noDNS"],
    ["A46", "xn--\x80:443", "E400 noDNS"],
    ["A47", "localhost:443", "D(*) noDNS"],
    ["A47", "LOCALHOST.:443", "D(*) noDNS"],
    ["A47", "foo.localhost:443", "D(*) noDNS"],
    ["soft hyphen", "api.exa\xadmple.test:443", "E400 noDNS"],
  ])("%s: CONNECT %j is %s", async (_id, target, verdict) => {
    await expectVerdict(bench, s1, `CONNECT ${target} HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, verdict);
  });
});

describe("address literals", () => {
  it.each([
    ["B01", `${publicAddress}:443`, "D(host_not_allowed) noDNS"],
    ["B04", "127.1:443", "E400 noDNS"],
    ["B04", "127.0.1:443", "E400 noDNS"],
    ["B05", "0x7f.0.0.1:443", "E400 noDNS"],
    ["B05", "0x7f000001:443", "E400 noDNS"],
    ["B05", "0177.0.0.1:443", "E400 noDNS"],
    ["B07", "2130706433:443", "E400 noDNS"],
    ["B07", "2852039166:80", "E400 noDNS"],
    ["B08", "0:443", "E400 noDNS"],
    ["B08", "0.0.0.0:443", "D(*) noDNS"],
    ["B08", "[::]:443", "D(*) noDNS"],
    ["B10", "169.254.169.254:80", "D(*) noDNS"],
    ["B11", "169.254.170.2:80", "D(*) noDNS"],
    ["B11", "169.254.170.23:80", "D(*) noDNS"],
    ["B13", "168.63.129.16:80", "D(*) noDNS"],
    ["B14", "192.0.0.192:80", "D(*) noDNS"],
    ["B16", "metadata.google.internal:80", "D(*) noDNS"],
    ["B17", "[::1]:443", "D(*) noDNS"],
    ["B19", "[::127.0.0.1]:443", "D(*) noDNS"],
    ["B20", "[64:ff9b::a9fe:a9fe]:80", "D(*) noDNS"],
    ["B22", "[2002:a9fe:a9fe::1]:80", "D(*) noDNS"],
    ["B23", "[2001:0:4136:e378:8000:63bf:5601:5601]:80", "D(*) noDNS"],
    ["B25", "[::ffff:1.2.3.4%x.wild.example.test]:443", "E400 noDNS"],
    ["B26", "::1:443", "E400 noDNS"],
    ["B47", "[::ffff:a9fe:a9fe]:80", "D(*) noDNS"],
    ["B40", "10.9.1.2:443", "ALLOW"],
    ["B41", "10.8.1.2:443", "D(host_not_allowed) noDNS"],
  ])("%s: CONNECT %s is %s", async (_id, target, verdict) => {
    await expectVerdict(bench, s1, `CONNECT ${target} HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, verdict);
  });

  it.each([
    ["B46", "http://2852039166/latest/meta-data/", "E400 noDNS"],
    ["B46", "http://0xa9fea9fe/", "E400 noDNS"],
    ["B47", "http://[::ffff:a9fe:a9fe]/", "D(*) noDNS"],
    ["B10", "http://169.254.169.254/latest/meta-data/", "D(*) noDNS"],
  ])("%s: GET %s is %s", async (_id, target, verdict) => {
    await expectVerdict(bench, s1, `GET ${target} HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, verdict);
  });
});

describe("resolved addresses", () => {
  it.each([
    ["B29", "10.0.0.5", "D(ip_not_allowed)"],
    ["B29", "127.0.0.1", "D(ip_not_allowed)"],
    ["B29", "169.254.169.254", "D(ip_not_allowed)"],
    ["B29", "::1", "D(ip_not_allowed)"],
    ["B31", "::ffff:10.0.0.5", "D(ip_not_allowed)"],
    ["B32", "64:ff9b::a00:5", "D(ip_not_allowed)"],
    ["B32", "64:ff9b::5db8:d822", "D(ip_not_allowed)"],
    ["B10", "100.100.100.200", "D(ip_not_allowed)"],
    ["C.4", "fd00:ec2::254", "D(ip_not_allowed)"],
  ])("%s: api resolved to %s is %s", async (_id, address, verdict) => {
    bench.dns.set("api.example.test", { addresses: [address] });
    await expectVerdict(bench, s1, `CONNECT api.example.test:443 HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, verdict);
  });

  it("B29: an address that does not pass is left out, and the others are dialled", async () => {
    bench.dns.set("api.example.test", { addresses: ["10.0.0.5", publicAddress] });
    await expectVerdict(bench, s1, `CONNECT api.example.test:443 HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, "ALLOW");
    expect(bench.dials).toEqual([`${publicAddress}:443`]);
  });

  it("B34, B35: each decision looks up once and judges that answer", async () => {
    const connect = `CONNECT api.example.test:443 HTTP/1.0\r\n${basic(s1)}\r\n\r\n`;
    bench.dns.set("api.example.test", { addresses: [publicAddress] }, { addresses: ["10.0.0.5"] });
    await expectVerdict(bench, s1, connect, "ALLOW");
    expect(bench.dns.queries.toSorted()).toEqual(["A api.example.test", "AAAA api.example.test"]);
    bench.forget();
    await expectVerdict(bench, s1, connect, "D(ip_not_allowed)");
  });

  it.each([
    ["B38", "nxdomain", "E502(dns_failed)"],
    ["B38", "servfail", "E502(dns_failed)"],
    ["B38", "silence", "E504(dns_timeout)"],
  ] as const)("%s: %s for an allowed host is %s, not a denial", async (_id, answer, verdict) => {
    bench.dns.set("api.example.test", answer);
    await expectVerdict(bench, s1, `CONNECT api.example.test:443 HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, verdict);
  });

  it.each([
    ["B40", "10.9.1.2", "ALLOW"],
    ["B41", "10.8.1.2", "D(ip_not_allowed)"],
  ])("%s: priv resolved to %s is %s", async (_id, address, verdict) => {
    bench.dns.set("priv.example.test", { addresses: [address] });
    await expectVerdict(bench, s1, `CONNECT priv.example.test:443 HTTP/1.0\r\n${basic(s1)}\r\n\r\n`, verdict);
  });

  it("B44: of many addresses at most 16 are tried", async () => {
    const addresses = Array.from({ length: 25 }, (_, index) => `93.184.217.${index + 1}`);
    for (const address of addresses) bench.refusingAddresses.add(address);
    bench.dns.set("api.example.test", { addresses });
    const connect = `CONNECT api.example.test:443 HTTP/1.0\r\n${basic(s1)}\r\n\r\n`;
    await expectVerdict(bench, s1, connect, "E502(upstream_failed)");
    expect(bench.dials).toHaveLength(16);
  });
});
