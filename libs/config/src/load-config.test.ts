import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevelopmentPki, type DevelopmentPki } from "@sandgate/pki/authority";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { ConfigError } from "./config-error.ts";
import { developmentOnly } from "./development-only.ts";
import { findConfigFile, loadConfig } from "./load-config.ts";
import * as sections from "./sections.ts";

const isRoot = process.geteuid?.() === 0;
let root: string;
let counter = 0;
let pki: DevelopmentPki;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "config-"));
  pki = await createDevelopmentPki({
    directory: root,
    trustDomain: "sandgate.test",
    operatorUserId: "0b8f8c0e-1111-4222-8333-444455556666",
  });
});
afterAll(() => rmSync(root, { recursive: true }));

const schema = z.strictObject({
  mode: sections.mode,
  trust_domain: sections.trustDomain,
  log: sections.log,
  admin: sections.admin,
  tls: sections.tls,
  listeners: sections.listeners,
  web: sections.web.optional(),
  database: sections.database,
  clients: z.strictObject({ auth: sections.clients.auth }),
  directories: sections.directories,
  development: developmentOnly(
    z.strictObject({ origins: z.array(z.string()).describe("origins") }).describe("development settings"),
  ),
});

function good(): Record<string, unknown> {
  return {
    admin: { port: 9100 },
    tls: {
      certificate_file: pki.services.auth.certificateFile,
      key_file: pki.services.auth.keyFile,
      service_ca_file: pki.serviceAuthority.certificateFile,
      sandbox_ca_file: pki.sandboxAuthority.certificateFile,
      operator_ca_file: pki.operatorAuthority.certificateFile,
    },
    listeners: { edge: { addresses: ["127.0.0.1:7443"] }, mtls: { addresses: ["[::1]:7444", `unix:${root}/m.sock`] } },
    database: { host: "/run/sandgate/postgres" },
    clients: { auth: { address: "auth.sandgate.local:7444" } },
    directories: { control: "/run/sandgate/control", egress: "/run/sandgate/egress" },
  };
}

function fileOf(content: unknown): string {
  counter += 1;
  const path = join(root, `config-${counter}`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** The faults, as "path: message". */
function faultsOf(content: unknown, env: Record<string, string> = {}): string[] {
  try {
    loadConfig({ schema, file: fileOf(content), env });
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

test("defaults are safe: production, loopback database without password", () => {
  const config = loadConfig({ schema, file: fileOf(good()), env: {} });
  expect(config).toMatchObject({
    mode: "production",
    trust_domain: "sandgate.local",
    log: { level: "info" },
    database: { host: "/run/sandgate/postgres", port: 5432, database: "sandgate", user: "sandgate" },
  });
});

test("YAML and JSON say the same", () => {
  const yaml = "admin: {port: 1}\nlog:\n  level: warn\n";
  const small = z.strictObject({ admin: sections.admin, log: sections.log });
  expect(loadConfig({ schema: small, file: fileOf(yaml), env: {} })).toEqual(
    loadConfig({ schema: small, file: fileOf({ admin: { port: 1 }, log: { level: "warn" } }), env: {} }),
  );
});

test("all faults are told at once, each with its path", () => {
  const content = {
    ...good(),
    mode: "test",
    trust_domain: "Not A Domain",
    admin: { port: 99_999, host: "0.0.0.0" },
    tls: { ...(good().tls as object), certificate_file: join(root, "nowhere.pem"), key_file: "key.pem" },
    listeners: { edge: { addresses: ["7443"] } },
    database: {},
    directories: { control: "control" },
    extra: true,
  };
  expect(faultsOf(content).sort()).toEqual([
    "admin.host: unknown field",
    "admin.port: Too big: expected number to be <=65535",
    "database: needs either url_file or host",
    "directories.control: must be an absolute path",
    "directories.egress: is required",
    "extra: unknown field",
    "listeners.edge.addresses.0: must be host:port, [address]:port or unix:/path",
    "listeners.mtls: is required",
    'mode: Invalid option: expected one of "production"|"development"',
    "tls.certificate_file: file is missing",
    "tls.key_file: must be an absolute path",
    "trust_domain: must be a lower-case domain name",
  ]);
});

test.each([
  ["auth:7444", true],
  ["unix:/run/auth.sock", true],
  [["127.0.0.1:7444", "127.0.0.2:7444"], true],
  [["[::1]:7444", "[::2]:7444"], true],
  [[], false],
  [["127.0.0.1:7444", "[::1]:7444"], false],
  [["auth-1:7444", "auth-2:7444"], false],
  [["unix:/run/auth.sock"], false],
  [["127.0.0.1:7444", 7], false],
  ["7444", false],
])("another service is at one address, or at its replicas' IP addresses: %j %j", (address, taken) => {
  const faults = faultsOf({ ...good(), clients: { auth: { address } } });
  expect(faults).toEqual(taken ? [] : [expect.stringMatching(/^clients\.auth\.address(\.1)?: /)]);
});

test.each([
  ["tls.certificate_file: holds no certificate in PEM", () => ({ certificate_file: pki.services.auth.keyFile })],
  [
    "tls.key_file: holds no private key in PEM without a passphrase",
    () => {
      chmodSync(pki.operator.certificateFile, 0o600);
      return { key_file: pki.operator.certificateFile };
    },
  ],
  ["tls.key_file: is not the key of certificate_file", () => ({ key_file: pki.services.policy.keyFile })],
  [
    "tls.service_ca_file: holds a certificate that is not an authority's",
    () => ({ service_ca_file: pki.services.auth.certificateFile }),
  ],
])("%s", (fault, over) => {
  expect(faultsOf({ ...good(), tls: { ...(good().tls as object), ...over() } })).toEqual([fault]);
});

test.each([
  "https://console.example",
  "https://console.example:8443",
  "http://localhost:5173",
  "http://127.0.0.1:8080",
])("a web page may be allowed to call: %s", (origin) => {
  expect(faultsOf({ ...good(), web: { addresses: ["127.0.0.1:0"], allowed_origins: [origin] } })).toEqual([]);
});

test.each([
  "*",
  "null",
  "https://*.example",
  "http://console.example",
  "http://localhost.evil.example",
  "https://console.example/",
  "https://console.example/page",
  "https://user@console.example",
  "https://Console.example",
  "https://console.example:443",
  "console.example",
  "file:///index.html",
])("no web page is allowed by %s", (origin) => {
  expect(faultsOf({ ...good(), web: { addresses: ["127.0.0.1:0"], allowed_origins: [origin] } })).toEqual([
    "web.allowed_origins.0: must be an origin such as https://console.example: scheme and host, no path",
  ]);
});

test("a key that does not match is told together with other faults of the section", () => {
  const tls = { ...(good().tls as object), key_file: pki.services.policy.keyFile, extra: 1 };
  expect(faultsOf({ ...good(), tls }).sort()).toEqual([
    "tls.extra: unknown field",
    "tls.key_file: is not the key of certificate_file",
  ]);
});

test("the message has one line for each fault, and the exit code is 2", () => {
  const error = new ConfigError([
    { path: "a", message: "x" },
    { path: "b", message: "y" },
  ]);
  expect(error.message).toBe("the configuration is not valid:\n  a: x\n  b: y");
  expect(error.exitCode).toBe(2);
});

test.each([
  ["missing", () => join(root, "nowhere"), "file is missing"],
  ["a directory", () => root, "is not a regular file"],
  ["not YAML", () => fileOf("a: [1"), expect.stringMatching(/line 1/)],
  ["a list", () => fileOf("[1]"), "must hold an object"],
  ["a repeated key", () => fileOf("admin: {port: 1}\nadmin: {port: 2}"), expect.stringMatching(/unique/)],
])("a configuration file that is %s is named", (_, path, message) => {
  const file = path();
  expect(() => loadConfig({ schema, file, env: {} })).toThrow(
    expect.objectContaining({ faults: expect.arrayContaining([{ path: file, message }]) }),
  );
});

test.each([
  ["is open to others", 0o644, /mode 0644 lets others at a secret/],
  ["can be written by its group", 0o620, /mode 0620/],
])("a key that %s is refused", (_, mode, message) => {
  const path = join(root, `key-${mode}`);
  writeFileSync(path, "x");
  chmodSync(path, mode);
  const content = { ...good(), tls: { ...(good().tls as object), key_file: path } };
  expect(faultsOf(content)).toEqual([expect.stringMatching(message)]);
});

test("a key of another user is refused", ({ skip }) => {
  if (!isRoot) skip("only root can give a file to another user");
  const path = join(root, "key-other");
  writeFileSync(path, "x", { mode: 0o600 });
  chownSync(path, 65_534, 65_534);
  const content = { ...good(), tls: { ...(good().tls as object), key_file: path } };
  expect(faultsOf(content)).toEqual(["tls.key_file: belongs to another user"]);
});

test("a key that is a directory is refused", () => {
  mkdirSync(join(root, "key-directory"));
  const content = { ...good(), tls: { ...(good().tls as object), key_file: join(root, "key-directory") } };
  expect(faultsOf(content)).toEqual(["tls.key_file: is not a regular file"]);
});

test("development settings are refused in production, wherever mode comes from", () => {
  const content = { ...good(), development: { origins: [] } };
  expect(faultsOf(content)).toEqual(["development: is refused unless mode is development"]);
  expect(faultsOf({ ...content, mode: "production" })).toHaveLength(1);
  expect(faultsOf({ ...content, mode: "development" })).toEqual([]);
  expect(faultsOf(content, { SANDGATE_MODE: "development" })).toEqual([]);
  expect(faultsOf({ ...content, mode: "development" }, { SANDGATE_MODE: "production" })).toHaveLength(1);
  expect(faultsOf(good(), { SANDGATE_DEVELOPMENT: '{"origins":[]}' })).toHaveLength(1);
});

test("the environment goes over the file, in the type of the field", () => {
  const config = loadConfig({
    schema,
    file: fileOf(good()),
    env: {
      SANDGATE_ADMIN__PORT: "9200",
      SANDGATE_LOG__LEVEL: "debug",
      SANDGATE_TRUST_DOMAIN: "123",
      SANDGATE_LISTENERS__EDGE__ADDRESSES: '["127.0.0.1:1"]',
      SANDGATE_CONFIG: "/ignored",
      HOME: "/root",
    },
  });
  expect(config.admin.port).toBe(9200);
  expect(config.log.level).toBe("debug");
  expect(config.trust_domain).toBe("123");
  expect(config.listeners.edge.addresses).toEqual(["127.0.0.1:1"]);
});

test.each([
  ["SANDGATE_ADMIN__PORT", "many", "admin.port: expected number, received string (from SANDGATE_ADMIN__PORT)"],
  ["SANDGATE_ADMIN__HOST", "x", "SANDGATE_ADMIN__HOST: names no field of the configuration"],
  ["SANDGATE_TYPO", "x", "SANDGATE_TYPO: names no field of the configuration"],
  ["SANDGATE___PROTO____X", "x", "SANDGATE___PROTO____X: names no field of the configuration"],
])("a wrong variable is named: %s", (name, value, fault) => {
  expect(faultsOf(good(), { [name]: value })).toEqual([fault]);
});

test("no value is repeated in a fault", () => {
  const content = { ...good(), admin: { port: "hunter2" }, trust_domain: "HUNTER2", database: { host: ["hunter2"] } };
  expect(faultsOf(content).join("\n")).not.toMatch(/hunter2/i);
  expect(faultsOf(content)).toHaveLength(3);
});

test.each([
  [[], {}, undefined],
  [[], { SANDGATE_CONFIG: "/etc/a" }, "/etc/a"],
  [["--config", "/etc/b"], { SANDGATE_CONFIG: "/etc/a" }, "/etc/b"],
  [["--config=/etc/c"], {}, "/etc/c"],
])("the configuration file of %j with %j is %s", (argv, env, file) => {
  expect(findConfigFile({ argv, env })).toBe(file);
});

test.each([[["--config"]], [["--port", "1"]], [["x"]]])("the arguments %j are refused", (argv) => {
  expect(() => findConfigFile({ argv, env: {} })).toThrow(ConfigError);
});

test("content that comes from no file is judged as a file is, and not changed", () => {
  const content = { admin: { port: 0 }, development: { origins: ["a"] } };
  const small = z.strictObject({
    mode: sections.mode,
    admin: sections.admin,
    development: developmentOnly(z.strictObject({ origins: z.array(z.string()) })),
  });
  expect(() => loadConfig({ schema: small, content, env: {} })).toThrow("development: is refused unless mode");
  const env = { SANDGATE_MODE: "development", SANDGATE_ADMIN__PORT: "9100" };
  expect(loadConfig({ schema: small, content, env })).toMatchObject({ admin: { port: 9100 } });
  expect(content.admin.port).toBe(0);
});
