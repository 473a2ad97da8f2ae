import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, loadConfig } from "@sandgate/config";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { afterAll, describe, expect, it } from "vitest";
import { proxyConfig } from "./proxy-config.ts";

const directory = mkdtempSync(join(tmpdir(), "sgp-"));
const file = (name: string) => join(directory, name);
const pki = await createDevelopmentPki({
  directory,
  trustDomain: "sandgate.test",
  operatorUserId: "0b8f8c0e-1111-4222-8333-444455556666",
});
afterAll(() => rmSync(directory, { recursive: true }));

const sound = {
  admin: { port: 0 },
  tls: {
    certificate_file: pki.services["egress-proxy"].certificateFile,
    key_file: pki.services["egress-proxy"].keyFile,
    service_ca_file: pki.serviceAuthority.certificateFile,
    sandbox_ca_file: pki.sandboxAuthority.certificateFile,
    operator_ca_file: pki.operatorAuthority.certificateFile,
  },
  clients: { auth: { address: "127.0.0.1:7444" }, policy: { address: "unix:/run/policy.sock" } },
  directories: { egress: "/run/sandgate/egress" },
};
const origins = [{ host: "api.example.test", port: 443, address: "127.0.0.1", target_port: 8443 }];

function load(changes: object) {
  writeFileSync(file("config"), JSON.stringify({ ...sound, ...changes }));
  return loadConfig({ schema: proxyConfig, file: file("config"), env: {} });
}

function faultsOf(changes: object): string[] {
  try {
    load(changes);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path }) => path);
    throw error;
  }
}

describe("the proxy's configuration", () => {
  it("needs no limits", () => {
    expect(load({}).limits.idle_timeout_ms).toBe(300_000);
  });

  it("takes origins in development", () => {
    expect(load({ mode: "development", development: { origins } }).development?.origins).toEqual(origins);
  });

  it.each([
    ["origins in production", { development: { origins } }, ["development"]],
    ["unknown fields", { secret: 1 }, ["secret"]],
    ["the superuser", { user: { uid: 0, gid: 0 } }, ["user.uid", "user.gid"]],
    ["a name as DNS server", { dns: { servers: ["dns.example"] } }, ["dns.servers.0"]],
    [
      "limits out of range",
      { limits: { head_bytes: 1, connections_per_sandbox: 0 } },
      ["limits.head_bytes", "limits.connections_per_sandbox"],
    ],
    [
      "origins that are none",
      {
        mode: "development",
        development: { origins: [{ host: "API.test", port: 0, address: "localhost", target_port: 1 }] },
      },
      ["development.origins.0.host", "development.origins.0.port", "development.origins.0.address"],
    ],
  ])("refuses %s, naming the path", (_what, changes, paths) => {
    expect(faultsOf(changes)).toEqual(paths);
  });
});
