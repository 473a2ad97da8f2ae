import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { afterAll, describe, expect, it } from "vitest";
import { authConfig, toOperatorRecords } from "./auth-config.ts";

const ada = {
  id: "0b8f8c0e-1111-4222-8333-444455556666",
  name: "Ada",
  organization_id: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
  organization_name: "Example",
};

const directory = mkdtempSync(join(tmpdir(), "sgc-"));
afterAll(() => rmSync(directory, { recursive: true }));
const pki = await createDevelopmentPki({ directory, trustDomain: "sandgate.test", operatorUserId: ada.id });

const base = {
  mode: "development",
  admin: { port: 0 },
  tls: {
    certificate_file: pki.services.auth.certificateFile,
    key_file: pki.services.auth.keyFile,
    service_ca_file: pki.serviceAuthority.certificateFile,
    sandbox_ca_file: pki.sandboxAuthority.certificateFile,
    operator_ca_file: pki.operatorAuthority.certificateFile,
  },
  listeners: { edge: { addresses: ["127.0.0.1:0"] }, mtls: { addresses: ["127.0.0.1:0"] } },
  database: { host: "/run/postgres" },
  directories: { control: "/run/sandgate/control" },
  key_directory: "/var/lib/sandgate/keys",
  sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.sandboxAuthority.keyFile },
  operators: [ada],
};

const kubernetes = {
  namespace: "sandboxes",
  issuer: "https://kubernetes.default.svc.cluster.local",
  ca_file: pki.serviceAuthority.certificateFile,
  token_file: pki.serviceAuthority.certificateFile,
  owner: { api_version: "v1", kind: "ConfigMap" },
};

/** The paths of the faults of a configuration. */
const faultsOf = (over: object) => {
  const result = authConfig.safeParse({ ...base, ...over });
  return result.success ? [] : result.error.issues.map(({ path }) => path.join("."));
};

describe("authConfig", () => {
  it("gives short lives and the least role where nothing is said", () => {
    const config = authConfig.parse(base);
    expect(config.lives).toEqual({ session_minutes: 15, certificate_minutes: 60, egress_minutes: 15 });
    expect(config.operators[0]?.role).toBe("viewer");
  });

  it.each([
    ["operators", { operators: [] }],
    ["operators.1.id", { operators: [ada, ada] }],
    ["operators.0.id", { operators: [{ ...ada, id: "ada" }] }],
    ["operators.0.role", { operators: [{ ...ada, role: "root" }] }],
    ["lives.session_minutes", { lives: { session_minutes: 4 } }],
    ["lives.certificate_minutes", { lives: { certificate_minutes: 61 } }],
    ["lives.egress_minutes", { lives: { egress_minutes: 241 } }],
    ["key_directory", { key_directory: "keys" }],
    ["container_token_audiences.1", { container_token_audiences: ["sandbox-api", "Sandbox API"] }],
    // D-02, D-08: a container token must be no credential of the control plane
    ["container_token_audiences.0", { container_token_audiences: ["sandgate"] }],
    ["container_token_audiences.0", { container_token_audiences: ["sandgate/enrol"] }],
    ["kubernetes.namespace", { kubernetes: { ...kubernetes, namespace: "kube/system" } }],
    ["kubernetes.issuer", { kubernetes: { ...kubernetes, issuer: "kubernetes" } }],
    ["kubernetes.api_server", { kubernetes: { ...kubernetes, api_server: "http://localhost:8001" } }],
    ["kubernetes.token_file", { kubernetes: { ...kubernetes, token_file: undefined } }],
    ["kubernetes.ca_file", { kubernetes: { ...kubernetes, ca_file: pki.services.auth.certificateFile } }],
    ["kubernetes.algorithms.0", { kubernetes: { ...kubernetes, algorithms: ["HS256"] } }],
    ["kubernetes.verification", { kubernetes: { ...kubernetes, verification: "none" } }],
    ["kubernetes.owner", { kubernetes: { ...kubernetes, owner: undefined } }],
    ["development.unenforced_container_tokens", { development: { unenforced_container_tokens: "yes" } }],
    ["tls.key_file", { tls: { ...base.tls, key_file: pki.services.sandbox.keyFile, extra: 1 } }],
    ["tls.service_ca_file", { tls: { ...base.tls, service_ca_file: pki.services.auth.certificateFile } }],
    [
      "sandbox_ca.key_file",
      {
        sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.operatorAuthority.keyFile },
      },
    ],
  ])("refuses a wrong %s and names it", (path, over) => {
    expect(faultsOf(over)).toContain(path);
  });
});

describe("G-06 a local operator", () => {
  const faults = (addresses: string[], over: object = {}) =>
    faultsOf({
      development: { local_operator: true },
      listeners: { edge: { addresses }, mtls: { addresses: ["127.0.0.1:0"] } },
      ...over,
    });

  it("stands where only this machine can call", () => {
    expect(faults(["127.0.0.1:7443", "[::1]:7443", "unix:/run/edge.sock"])).toEqual([]);
  });

  it.each([
    "0.0.0.0:7443",
    "[::]:7443",
    "10.0.0.1:7443",
    "localhost:7443",
    "auth.example:7443",
    "127.0.0.1.evil.test:1",
  ])("is refused where %s is served", (address) => {
    expect(faults(["127.0.0.1:7443", address])).toEqual(["listeners.edge.addresses.1"]);
  });

  it("is refused together with whatever else is wrong", () => {
    expect(faults(["0.0.0.0:7443"], { operators: [], extra: 1 })).toEqual([
      "",
      "operators",
      "listeners.edge.addresses.0",
    ]);
  });
});

describe("G-06 users", () => {
  const provider = {
    name: "example",
    issuer: "https://id.example",
    audiences: ["sandgate"],
    organization: { id: ada.organization_id, name: "Example" },
  };

  it("can be those of an OpenID provider alone", () => {
    expect(faultsOf({ operators: [], oidc: [provider] })).toEqual([]);
    expect(faultsOf({ operators: undefined, oidc: [provider] })).toEqual([]);
  });

  it("are there, or nothing starts", () => {
    expect(faultsOf({ operators: [], oidc: [] })).toEqual(["operators"]);
    expect(faultsOf({ operators: undefined })).toEqual(["operators"]);
  });

  it("G-04 are not those of a provider that is this suite itself", () => {
    expect(faultsOf({ oidc: [{ ...provider, issuer: "https://auth.sandgate.local" }] })).toEqual(["oidc.0.issuer"]);
  });
});

it("G-04 gives each operator the role that the configuration says and no more", () => {
  const roles = ["viewer", "operator", "admin"] as const;
  const records = toOperatorRecords(roles.map((role) => ({ ...ada, role })));
  expect(records.map(({ role }) => role)).toEqual([1, 2, 3]);
});
