import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@sandgate/config";
import { afterAll, beforeAll, expect, it } from "vitest";
import { envelopeConfig } from "./envelope-config.ts";
import { readReferenceFlags } from "./reference-flags.ts";

let directory: string;
let keyFile: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "reference-flags-"));
  keyFile = join(directory, "key.json");
  writeFileSync(keyFile, "{}");
});
afterAll(() => rmSync(directory, { recursive: true }));

const least = () => [
  `-envelope.verify-key=${keyFile}`,
  "-envelope.machine=mlab1.lga03",
  "-envelope.subject",
  "ndt",
  "--sandgate.guarded=tcp/443,udp/443",
];

const configOf = (argv: readonly string[], env = {}) => envelopeConfig.parse(readReferenceFlags(argv, env).config);

function faultsOf(argv: readonly string[], env = {}): readonly string[] {
  try {
    readReferenceFlags(argv, env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
}

it("A.3: has the reference's defaults", () => {
  expect(configOf(least())).toMatchObject({
    address: "[::]:8880",
    admin: { port: 9990 },
    insecure: true,
    log: { level: "info" },
    machine: "mlab1.lga03",
    service: "ndt",
    lease: { capacity: 1 },
    firewall: { device: "eth0" },
    tokens: { issuer: "locate", algorithms: ["EdDSA", "ES256", "RS256"], key_files: [keyFile] },
    compatible: { timeout_seconds: 60, token_required: true, single_use: false },
    guarded: [
      { protocol: "tcp", port: 443 },
      { protocol: "udp", port: 443 },
    ],
  });
});

it("A.3: takes every flag", () => {
  const argv = [
    ...least(),
    ...["-envelope.verify-key", `${keyFile},${keyFile}`, "-envelope.listen-address", "192.0.2.1:4443"],
    ...["-envelope.max-clients=7", "-envelope.device=net1", "-timeout=1m30.5s", "-httpx.tcp-network=tcp6"],
    ...["-txcontroller.device=net1", "-txcontroller.max-rate=1000000", "-logx.debug", "-sandgate.issuer=example"],
    ...["-prometheusx.listen-address=127.0.0.1:9100", "-address.iptables=/sbin/iptables"],
    "-address.ip6tables-save=/sbin/ip6tables-save",
  ];
  expect(configOf(argv)).toMatchObject({
    address: "192.0.2.1:4443",
    ipv6_only: true,
    admin: { port: 9100 },
    log: { level: "debug" },
    lease: { capacity: 7 },
    firewall: {
      device: "net1",
      backend: "iptables",
      iptables_file: "/sbin/iptables",
      ip6tables_file: "/usr/sbin/ip6tables",
    },
    transmit: { device: "net1", max_bits_per_second: 1_000_000 },
    tokens: { issuer: "example", key_files: [keyFile, keyFile, keyFile] },
    compatible: { timeout_seconds: 91 },
  });
  expect(readReferenceFlags(argv, {}).warnings).toEqual([
    "-address.ip6tables-save is not used: rules are restored by the program beside iptables, and never saved",
  ]);
});

it("A.3: takes from the environment what no flag says, and warns where both speak", () => {
  const env = { ENVELOPE_MAX_CLIENTS: "5", TIMEOUT: "2m", HTTPX_TCP_NETWORK: "tcp4" };
  const { config, warnings, values } = readReferenceFlags([...least(), "-timeout=3m"], env);
  expect(config).toMatchObject({
    lease: { capacity: 5 },
    compatible: { timeout_seconds: 180 },
    address: "0.0.0.0:8880",
  });
  expect(warnings).toContain("-timeout overrides TIMEOUT");
  expect(values).toMatchObject({ "envelope.max-clients": "5", timeout: "3m", "logx.debug": "false" });
});

it("E-28: needs neither machine, keys nor ports where no token is required", () => {
  expect(configOf(["-envelope.token-required=false"])).toMatchObject({ compatible: { token_required: false } });
});

it.each([
  ["E-29: no machine", ["-envelope.machine="], "-envelope.machine: is required"],
  ["EW-02, EW-03: no ports", ["-sandgate.guarded="], "-sandgate.guarded: is required"],
  ["ports that are none", ["-sandgate.guarded=443"], "-sandgate.guarded: must be a list of ports"],
  ["EW-15: a certificate without its key", ["-envelope.cert=/cert.pem"], "-envelope.cert: needs -envelope.key too"],
  ["EW-15: a key without its certificate", ["-envelope.key=/key.pem"], "-envelope.cert: needs -envelope.key too"],
  ["an unknown flag", ["-envelope.maximum=3"], "-envelope.maximum: is not a flag"],
  ["a word", ["start"], "start: is not a flag"],
  ["a flag without its value", ["-timeout"], "-timeout: needs a value"],
  ["a duration that is none", ["-timeout=60"], "-timeout: must be a duration"],
  ["a number that is none", ["-envelope.max-clients=-1"], "-envelope.max-clients: must be a whole number"],
  ["a boolean that is none", ["-logx.debug=yes"], "-logx.debug: must be true or false"],
  ["another network", ["-httpx.tcp-network=udp"], "-httpx.tcp-network: must be one of tcp, tcp4, tcp6"],
  ["an address without a port", ["-envelope.listen-address=host"], "-envelope.listen-address: must be host:port"],
])("refuses %s", (_, more, fault) => {
  expect(faultsOf([...least(), ...more])).toEqual([expect.stringContaining(fault)]);
});

it("E-29: refuses to run without a key", () => {
  const argv = least().filter((argument) => !argument.startsWith("-envelope.verify-key"));
  expect(faultsOf(argv)).toEqual(["-envelope.verify-key: is required: nobody's token could be good"]);
});
