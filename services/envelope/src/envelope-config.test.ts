import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, loadConfig } from "@sandgate/config";
import { afterAll, beforeAll, expect, it } from "vitest";
import { envelopeConfig } from "./envelope-config.ts";

let directory: string;
let keyFile: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "envelope-config-"));
  keyFile = join(directory, "key.json");
  writeFileSync(keyFile, "{}");
});
afterAll(() => rmSync(directory, { recursive: true }));

function faultsOf(over: object): readonly string[] {
  const config = {
    admin: { port: 9100 },
    address: "[::]:8880",
    insecure: true,
    state_directory: "/var/lib/sandgate-envelope",
    machine: "mlab1.lga03",
    service: "ndt",
    guarded: [{ protocol: "tcp", port: 443 }],
    tokens: { issuer: "locate", key_files: [keyFile] },
    ...over,
  };
  const file = join(directory, "config.json");
  writeFileSync(file, JSON.stringify(config));
  try {
    loadConfig({ schema: envelopeConfig, file, env: {} });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
}

it("has defaults that let nobody in for long, nor by a token in a URL, nor from a web page", () => {
  const file = join(directory, "least.json");
  writeFileSync(
    file,
    JSON.stringify({
      admin: { port: 0 },
      address: "[::]:8880",
      insecure: true,
      state_directory: "/s",
      machine: "m",
      service: "s",
      guarded: [{ protocol: "udp", port: 53 }],
      tokens: { issuer: "i", key_files: [keyFile] },
    }),
  );
  expect(loadConfig({ schema: envelopeConfig, file, env: {} })).toMatchObject({
    lease: { max_seconds: 600, capacity: 100, per_address: 100 },
    tokens: { query: false, algorithms: ["EdDSA"] },
    allowed_origins: [],
    subject_mode: "service",
  });
});

it.each([
  ["EW-15: neither TLS nor insecure", { insecure: undefined }, "tls: needs either tls or insecure: true"],
  ["EW-15: insecure that says no", { insecure: false }, "insecure: "],
  ["no service to name", { service: undefined }, "service: is required with subject_mode service"],
  [
    "its own port guarded",
    { guarded: [{ protocol: "tcp", port: 8880 }] },
    "guarded: holds the port of address: nobody could ask",
  ],
  ["E-29, EW-21: no machine", { machine: "" }, "machine: "],
  ["E-29: no issuer", { tokens: undefined }, "tokens: is required"],
  ["E-28: no issuer in compatible mode", { tokens: undefined, compatible: {} }, "tokens: is required"],
  [
    "EW-18: all places reserved",
    { lease: { capacity: 2, reserved: 2 } },
    "lease.reserved: must be less than lease.capacity",
  ],
  ["nothing guarded", { guarded: [] }, "guarded: "],
  ["no keys", { tokens: { issuer: "locate" } }, "tokens: needs either key_files or key_set_url"],
  [
    "keys over plain HTTP",
    { tokens: { issuer: "locate", key_set_url: "http://keys.example/" } },
    "tokens.key_set_url: must be an https URL, or an http URL of this machine",
  ],
  ["HS256", { tokens: { issuer: "locate", key_files: ["/"], algorithms: ["HS256"] } }, "tokens.algorithms.0: "],
  [
    "an instance that is no name of a table",
    { instance: "a; flush ruleset" },
    "instance: must be 1 to 32 of a-z, 0-9 and _",
  ],
  ["a Unix socket", { address: "unix:/run/envelope.sock" }, "address: must be host:port or [address]:port"],
  [
    "no firewall outside development",
    { development: { no_firewall: true } },
    "development: is refused unless mode is development",
  ],
])("refuses %s", (_, over, fault) => {
  expect(faultsOf(over)).toEqual(expect.arrayContaining([expect.stringContaining(fault)]));
});

it("EW-16: refuses a monitoring issuer that is the clients' own", () => {
  expect(faultsOf({ monitoring: { issuer: "locate", key_files: [keyFile] } })).toEqual([
    expect.stringContaining("monitoring: must have another issuer than tokens"),
  ]);
});
