import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createDevelopmentPki,
  type DevelopmentPki,
  type DevelopmentPkiOptions,
  type DevelopmentService,
} from "@sandgate/pki/authority";
import type { CertificatesInUse } from "@sandgate/rpc";
import { type Checks, createLogger, createMetrics } from "@sandgate/telemetry";
import { createThrowAwayDatabase } from "@sandgate/testing";
import { allInOneConfig } from "../../../services/all-in-one/src/all-in-one-config.ts";
import { startAllInOne } from "../../../services/all-in-one/src/start-all-in-one.ts";
import { authConfig } from "../../../services/auth/src/auth-config.ts";
import { openSigningKeys, type SigningKeyRing } from "../../../services/auth/src/keys/signing-keys.ts";
import { startAuth } from "../../../services/auth/src/start-auth.ts";
import { gatewayConfig } from "../../../services/gateway/src/gateway-config.ts";
import { startGateway } from "../../../services/gateway/src/start-gateway.ts";
import { policyConfig } from "../../../services/policy/src/policy-config.ts";
import { startPolicy } from "../../../services/policy/src/start-policy.ts";
import { sandboxConfig } from "../../../services/sandbox/src/sandbox-config.ts";
import { startSandbox } from "../../../services/sandbox/src/start-sandbox.ts";
import { RecordingDriver } from "./recording-driver.ts";

/** How the services run. */
export type Topology = "all in one" | "over mutual TLS";

export const topologies: readonly Topology[] = ["all in one", "over mutual TLS"];

export const trustDomain = "sandgate.test";

/** The users that every suite knows. */
export const users = {
  viewer: "11111111-0000-4000-8000-000000000001",
  operator: "11111111-0000-4000-8000-000000000002",
  admin: "11111111-0000-4000-8000-000000000003",
  foreignAdmin: "11111111-0000-4000-8000-000000000004",
} as const;

export const organizations = {
  own: "5f0e9c1e-0000-4000-8000-000000000001",
  other: "5f0e9c1e-0000-4000-8000-000000000002",
} as const;

/** One of the control plane's services. */
export type ServiceName = "auth" | "sandbox" | "policy";

/** A running control plane with real databases, certificates and listeners; its driver starts nothing. */
export interface TestSuite {
  readonly topology: Topology;
  readonly pki: DevelopmentPki;
  /** What the PKI was made from. */
  readonly pkiOptions: DevelopmentPkiOptions;
  /** Has each program, by its certificate's name, read its certificates again, and says which it uses. */
  readonly certificates: ReadonlyMap<DevelopmentService, () => Promise<CertificatesInUse>>;
  /** PEM of the authorities of service certificates, as they are now. */
  readonly serviceCa: string;
  /** What Auth signs tokens with. */
  readonly signingKeys: SigningKeyRing;
  readonly driver: RecordingDriver;
  /** Where sandboxes have a directory each with the socket of their egress proxy. */
  readonly egressDirectory: string;
  /** Starts another Auth on the same database, with the same sealing key. */
  startAuthReplica(): Promise<{ readonly mtls: string; stop(): Promise<void> }>;
  address(service: ServiceName, listener: "edge" | "mtls"): string;
  /** host:port of the web front, and the name that its certificate carries. */
  readonly web: { readonly address: string; readonly serverName: string };
  /** The gateway listener of a service; all in one there is none. */
  gatewayAddress(service: ServiceName): string | undefined;
  /** host:port where the key set and the discovery document are served. */
  readonly jwksAddress: string;
  /** The readiness checks of each program. */
  readonly checks: ReadonlyMap<string, Checks>;
  /** A socket in a sandbox's own directory, as its supervisor would dial it. */
  socket(service: ServiceName, sandboxId: string, listener: "enrol" | "control"): string;
  stop(): Promise<void>;
}

/** Starts a control plane in this process. */
export async function startSuite(
  topology: Topology,
  options: {
    readonly quiet?: boolean;
    /** OpenID providers, as the configuration names them. */
    readonly oidc?: readonly object[];
    /** Origins of the web pages that may call. */
    readonly allowedOrigins?: readonly string[];
    /** The cluster whose pods may enrol, as Auth's configuration names it. */
    readonly kubernetes?: object;
    readonly clock?: () => number;
    /** How long a signing key is published before it signs; default: the setting's. */
    readonly publishSeconds?: number;
  } = {},
): Promise<TestSuite> {
  const directory = await mkdtemp(join(tmpdir(), "sg-"));
  const pkiOptions = { directory: join(directory, "pki"), trustDomain, operatorUserId: users.operator };
  const pki = await createDevelopmentPki(pkiOptions);
  const database = await createThrowAwayDatabase({ services: ["auth", "sandbox", "policy"] });
  const control = join(directory, "r", "control");
  const driver = new RecordingDriver({ controlRoot: control });
  const keyDirectory = join(directory, "keys");
  const { host, port, database: name, user } = database.connection;

  const common = (service: ServiceName | "gateway" | "all-in-one") => ({
    mode: "development" as const,
    trust_domain: trustDomain,
    admin: { port: 0 },
    tls: {
      certificate_file: pki.services[service].certificateFile,
      key_file: pki.services[service].keyFile,
      service_ca_file: pki.serviceAuthority.certificateFile,
      sandbox_ca_file: pki.sandboxAuthority.certificateFile,
      operator_ca_file: pki.operatorAuthority.certificateFile,
    },
  });
  const serving = {
    listeners: { edge: { addresses: ["127.0.0.1:0"] }, mtls: { addresses: ["127.0.0.1:0"] } },
    database: { host, port, database: name, user },
    oidc: options.oidc ?? [],
  };
  const webFront = { addresses: ["127.0.0.1:0"], allowed_origins: options.allowedOrigins ?? [] };
  const servingGateway = {
    ...serving,
    listeners: { ...serving.listeners, gateway: { addresses: ["127.0.0.1:0"] } },
  };
  const authSettings = {
    key_directory: keyDirectory,
    sandbox_ca: {
      certificate_file: pki.sandboxAuthority.certificateFile,
      key_file: pki.sandboxAuthority.keyFile,
    },
    operators: [
      { id: users.viewer, name: "viewer", role: "viewer" as const, organization_id: organizations.own },
      { id: users.operator, name: "operator", role: "operator" as const, organization_id: organizations.own },
      { id: users.admin, name: "admin", role: "admin" as const, organization_id: organizations.own },
      { id: users.foreignAdmin, name: "foreign", role: "admin" as const, organization_id: organizations.other },
    ].map((user) => ({ ...user, organization_name: user.organization_id })),
    users: { sign_up: "open" as const },
    jwks: { address: "127.0.0.1:0" },
    ...(options.kubernetes !== undefined && { kubernetes: options.kubernetes }),
    signing_keys: { ...(options.publishSeconds !== undefined && { publish_seconds: options.publishSeconds }) },
  };
  const policySettings = { provider_key_file: join(directory, "keys", "providers.key") };
  const anyFile = pki.serviceAuthority.certificateFile; // the recording driver looks at none of these
  const sandboxSettings = {
    state_directory: join(directory, "state"),
    driver: { local: { node_file: anyFile, supervisor_file: anyFile, terminal_file: anyFile } },
  };
  const directories = { control, egress: join(directory, "r", "egress") };
  const deps = () => ({
    logger: createLogger({
      service: "test",
      level: "error",
      ...(options.quiet === true && { destination: { write: () => {} } }),
    }),
    registry: createMetrics(),
    clock: options.clock ?? Date.now,
  });
  const parts = {
    driver: () => driver,
    timing: { pingIntervalMs: 100, startingMs: 600_000, supervisorTimeoutMs: 60_000 },
  };

  const running: { stop(): Promise<void> }[] = [];
  const checks = new Map<string, Checks>();
  const certificates = new Map<DevelopmentService, () => Promise<CertificatesInUse>>();
  let jwksAddress: string | undefined;
  let web: TestSuite["web"] | undefined;
  const addresses = new Map<string, Readonly<Record<"edge" | "mtls" | "gateway", readonly string[]>>>();
  if (topology === "all in one") {
    const config = allInOneConfig.parse({
      ...common("all-in-one"),
      ...serving,
      web: webFront,
      directories,
      ...authSettings,
      ...policySettings,
      ...sandboxSettings,
    });
    const suite = await startAllInOne(config, { ...deps(), parts });
    running.push(suite);
    checks.set("all-in-one", suite.checks);
    certificates.set("all-in-one", suite.certificates);
    jwksAddress = suite.addresses.jwks;
    web = { address: suite.addresses.web[0] ?? "", serverName: `all-in-one.${trustDomain}` };
    for (const service of ["auth", "sandbox", "policy"]) addresses.set(service, suite.addresses);
  } else {
    const auth = await startAuth(
      authConfig.parse({ ...common("auth"), ...servingGateway, directories: { control }, ...authSettings }),
      deps(),
    );
    running.unshift(auth);
    jwksAddress = auth.addresses.jwks;
    const authClient = { address: auth.addresses.mtls[0] };
    const policy = await startPolicy(
      policyConfig.parse({
        ...common("policy"),
        ...servingGateway,
        directories: { control },
        clients: { auth: authClient },
        ...policySettings,
      }),
      deps(),
    );
    running.unshift(policy);
    const clients = { auth: authClient, policy: { address: policy.addresses.mtls[0] } };
    const sandbox = await startSandbox(
      sandboxConfig.parse({ ...common("sandbox"), ...servingGateway, directories, clients, ...sandboxSettings }),
      { ...deps(), parts },
    );
    running.unshift(sandbox);
    certificates.set("auth", auth.certificates).set("policy", policy.certificates);
    certificates.set("sandbox", sandbox.certificates);
    checks.set("auth", auth.checks).set("policy", policy.checks).set("sandbox", sandbox.checks);
    addresses.set("auth", auth.addresses).set("policy", policy.addresses).set("sandbox", sandbox.addresses);
    const to = (service: { readonly addresses: { readonly gateway: readonly string[] } }) => ({
      address: service.addresses.gateway[0],
    });
    const gateway = await startGateway(
      gatewayConfig.parse({
        ...common("gateway"),
        web: webFront,
        clients: { auth: to(auth), sandbox: to(sandbox), policy: to(policy) },
      }),
      deps(),
    );
    running.unshift(gateway);
    certificates.set("gateway", gateway.certificates);
    web = { address: gateway.addresses.web[0] ?? "", serverName: `gateway.${trustDomain}` };
  }

  if (jwksAddress === undefined) throw new Error("the key set is not served");
  if (web === undefined) throw new Error("there is no web front");
  const signingKeys = await openSigningKeys({
    pool: database.createPool("auth"),
    audit: { append: async () => {} },
    directory: keyDirectory,
    rotation: { maxAgeMs: 0, publishMs: 0 },
    workloadAlgorithm: "ES256",
    clock: Date.now,
  });
  await signingKeys.load();
  return {
    topology,
    pki,
    pkiOptions,
    certificates,
    jwksAddress,
    web,
    get serviceCa() {
      return readFileSync(pki.serviceAuthority.certificateFile, "utf8");
    },
    signingKeys,
    driver,
    checks,
    egressDirectory: directories.egress,
    startAuthReplica: async () => {
      const directories = { control: join(directory, "r", "replica") };
      const config = { ...common("auth"), ...servingGateway, directories, ...authSettings };
      const replica = await startAuth(authConfig.parse(config), deps());
      return { mtls: replica.addresses.mtls[0] ?? "", stop: replica.stop };
    },
    address: (service, listener) => {
      const [address] = addresses.get(service)?.[listener] ?? [];
      if (address === undefined) throw new Error(`${service} has no ${listener} listener`);
      return address;
    },
    gatewayAddress: (service) => addresses.get(service)?.gateway[0],
    socket: (service, sandboxId, listener) => {
      const own = service !== "sandbox" && topology !== "all in one" ? `${service}.sock` : "control.sock";
      return `unix:${join(control, sandboxId, listener === "enrol" ? "enrol.sock" : own)}`;
    },
    stop: async () => {
      for (const part of running) await part.stop();
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
