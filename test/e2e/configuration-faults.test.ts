import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevelopmentPki, type DevelopmentPki } from "@sandgate/pki/authority";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ProgramEnd, runToEnd } from "./program-run.fixture.ts";

const programs = ["auth", "sandbox", "policy", "egress-proxy", "gateway", "all-in-one"] as const;
type Program = (typeof programs)[number];

const operatorUserId = "11111111-0000-4000-8000-000000000001";
const proxyUser = process.getuid?.() === 0 ? { uid: 65_530, gid: 65_530 } : undefined;

let directory: string;
let pki: DevelopmentPki;
let database: ThrowAwayDatabase;
let taken: Server;
let takenPort: number;
let configCount = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sgf-"));
  chmodSync(directory, 0o711); // the proxy has a user of its own
  pki = await createDevelopmentPki({
    directory: join(directory, "pki"),
    trustDomain: "sandgate.test",
    operatorUserId,
    ...(proxyUser !== undefined && { owners: { "egress-proxy": proxyUser } }),
  });
  database = await createThrowAwayDatabase({ services: ["auth", "sandbox", "policy"] });
  taken = createServer();
  await new Promise<void>((listening) => taken.listen(0, "127.0.0.1", listening));
  takenPort = (taken.address() as AddressInfo).port; // a TCP server that listens has one
});
afterAll(async () => {
  taken.close();
  await database.drop();
  rmSync(directory, { recursive: true, force: true });
});

const within = (name: string): string => join(directory, name);
const anyAddress = { address: "127.0.0.1:0" };

/** A configuration that the program would start with. */
function sound(program: Program): Record<string, unknown> & { readonly tls: object } {
  const { host, port, database: name, user } = database.connection;
  const common = {
    mode: "production",
    trust_domain: "sandgate.test",
    admin: { port: 0 },
    tls: {
      certificate_file: pki.services[program].certificateFile,
      key_file: pki.services[program].keyFile,
      service_ca_file: pki.serviceAuthority.certificateFile,
      sandbox_ca_file: pki.sandboxAuthority.certificateFile,
      operator_ca_file: pki.operatorAuthority.certificateFile,
    },
  };
  const stored = {
    ...common,
    listeners: { edge: { addresses: ["127.0.0.1:0"] }, mtls: { addresses: ["127.0.0.1:0"] } },
    database: { host, port, database: name, user },
  };
  const auth = {
    key_directory: within("keys"),
    sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.sandboxAuthority.keyFile },
    operators: [{ id: operatorUserId, name: "operator", organization_id: operatorUserId, organization_name: "local" }],
  };
  const directories = { control: within("r/control"), egress: within("r/egress") };
  const file = process.execPath;
  const sandbox = {
    directories,
    state_directory: within("state"),
    driver: { local: { node_file: file, supervisor_file: file, terminal_file: file } },
  };
  switch (program) {
    case "auth":
      return { ...stored, directories: { control: directories.control }, ...auth };
    case "sandbox":
      return { ...stored, clients: { auth: anyAddress, policy: anyAddress }, ...sandbox };
    case "policy":
      return { ...stored, clients: { auth: anyAddress }, directories: { control: directories.control } };
    case "all-in-one":
      return { ...stored, ...auth, ...sandbox };
    case "egress-proxy":
      return {
        ...common,
        clients: { auth: anyAddress, policy: anyAddress },
        directories: { egress: directories.egress },
        ...(proxyUser !== undefined && { user: proxyUser }),
      };
    case "gateway":
      return {
        ...common,
        web: { addresses: ["127.0.0.1:0"] },
        clients: { auth: anyAddress, sandbox: anyAddress, policy: anyAddress },
      };
  }
}

function start(program: Program, config: object, environment?: Readonly<Record<string, string>>): Promise<ProgramEnd> {
  configCount += 1;
  const file = within(`config-${configCount}.json`);
  writeFileSync(file, JSON.stringify(config));
  return runToEnd(program, ["--config", file], environment);
}

/** The faults that the program told of. Refuses when it said anything else, did not exit with 2, or left something behind. */
function faultsOf(
  program: Program,
  headline: string,
  { exitCode, stdout, stderr, leftSomething }: ProgramEnd,
): string[] {
  expect({ exitCode, leftSomething, stderr }).toEqual({
    exitCode: 2,
    leftSomething: false,
    stderr: expect.any(String),
  });
  expect(stdout).not.toContain('"level":"fatal"');
  const [first, ...faults] = stderr.trimEnd().split("\n");
  expect(first).toBe(`${program}: ${headline}`);
  for (const fault of faults) expect(fault).toMatch(/^ {2}[^\s:]+: \S/);
  return faults.map((fault) => fault.trim()).sort();
}

const notValid = "the configuration is not valid:";

describe.each(programs)("%s", { timeout: 60_000 }, (program) => {
  it("tells all that is wrong at once, and starts nothing", async () => {
    const noPem = within(`${program}.txt`);
    writeFileSync(noPem, "no certificate");
    const openKey = within(`${program}.open.key`);
    copyFileSync(pki.services[program].keyFile, openKey);
    chmodSync(openKey, 0o644);
    if (program === "egress-proxy" && proxyUser !== undefined) chownSync(openKey, proxyUser.uid, proxyUser.gid);
    const config = sound(program);
    const tls = {
      ...config.tls,
      certificate_file: noPem,
      key_file: openKey,
      operator_ca_file: within("nowhere.pem"),
      sandbox_ca_file: pki.services.auth.certificateFile,
      extra: 1,
    };
    const end = await start(program, { ...config, tls, extra: 1 }, { SANDGATE_NO_SUCH__FIELD: "1" });
    expect(end.stdout).toBe("");
    expect(faultsOf(program, notValid, end)).toEqual([
      "SANDGATE_NO_SUCH__FIELD: names no field of the configuration",
      "extra: unknown field",
      "tls.certificate_file: holds no certificate in PEM",
      "tls.extra: unknown field",
      "tls.key_file: mode 0644 lets others at a secret; use 0600",
      "tls.operator_ca_file: file is missing",
      "tls.sandbox_ca_file: holds a certificate that is not an authority's",
    ]);
  });

  it("refuses a key that is not its certificate's, beside settings for development in production", async () => {
    const config = sound(program);
    const tls = { ...config.tls, certificate_file: pki.operator.certificateFile };
    const end = await start(program, { ...config, tls, development: {} });
    const hasDevelopment = program === "auth" || program === "all-in-one" || program === "egress-proxy";
    expect(faultsOf(program, notValid, end)).toEqual([
      hasDevelopment ? "development: is refused unless mode is development" : "development: unknown field",
      "tls.key_file: is not the key of certificate_file",
    ]);
  });

  it("refuses a configuration file that is not there", async () => {
    const end = await runToEnd(program, ["--config", within("nowhere.json")]);
    expect(faultsOf(program, notValid, end)).toEqual([`${within("nowhere.json")}: file is missing`]);
  });

  it("refuses an admin port that is taken", async () => {
    const end = await start(program, { ...sound(program), admin: { port: takenPort } });
    expect(end).toMatchObject({
      exitCode: 2,
      leftSomething: false,
      stderr: `${program}: admin.port: port ${takenPort} on 127.0.0.1 is in use\n`,
    });
  });
});

describe.each(["auth", "sandbox", "policy", "all-in-one"] as const)("%s", { timeout: 60_000 }, (program) => {
  it("tells of every address that is taken", async () => {
    const at = { addresses: ["127.0.0.1:0", `127.0.0.1:${takenPort}`] };
    const end = await start(program, { ...sound(program), listeners: { edge: at, mtls: at } });
    const faults = faultsOf(program, "cannot listen:", end);
    expect(faults).toEqual([
      `listeners.edge.addresses.1: cannot listen on 127.0.0.1:${takenPort}: it is in use`,
      `listeners.mtls.addresses.1: cannot listen on 127.0.0.1:${takenPort}: it is in use`,
    ]);
  });
});

describe.each(["gateway", "all-in-one"] as const)("%s", { timeout: 60_000 }, (program) => {
  it("tells of every address of the web front that is taken", async () => {
    const web = { addresses: ["127.0.0.1:0", `127.0.0.1:${takenPort}`] };
    const end = await start(program, { ...sound(program), web });
    expect(faultsOf(program, "cannot listen:", end)).toEqual([
      `web.addresses.1: cannot listen on 127.0.0.1:${takenPort}: it is in use`,
    ]);
  });

  it("refuses web pages that nobody vouches for, and half a certificate", async () => {
    const web = {
      addresses: ["127.0.0.1:0"],
      allowed_origins: ["*"],
      tls: { certificate_file: pki.services.auth.certificateFile },
    };
    const end = await start(program, { ...sound(program), web });
    expect(faultsOf(program, notValid, end)).toEqual([
      "web.allowed_origins.0: must be an origin such as https://console.example: scheme and host, no path",
      "web.tls.key_file: is required",
    ]);
  });
});

describe.each(["auth", "all-in-one"] as const)("%s", { timeout: 60_000 }, (program) => {
  it.each([
    ["no operators", { operators: [] }],
    ["operators left out", { operators: undefined }],
  ])("G-06 refuses to start with %s, and tells it beside other faults", async (_what, over) => {
    const end = await start(program, { ...sound(program), ...over, extra: 1 });
    expect(faultsOf(program, notValid, end)).toEqual([
      "extra: unknown field",
      "operators: no user could be authenticated: name at least one operator, or a provider in oidc",
    ]);
  });

  it("refuses a key set address that is taken", async () => {
    const end = await start(program, { ...sound(program), jwks: { address: `127.0.0.1:${takenPort}` } });
    expect(end).toMatchObject({
      exitCode: 2,
      leftSomething: false,
      stderr: `${program}: jwks.address: 127.0.0.1:${takenPort} cannot be used\n`,
    });
  });
});
