import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CertificateFiles, createDevelopmentPki, type DevelopmentPki } from "@sandgate/pki/authority";
import type { SocketConnection } from "@sandgate/postgres";
import { CertificateStore, type Channel, createGrpcChannel } from "@sandgate/rpc";
import { Replica } from "./replica.ts";
import type { ReplicaOrders } from "./replica-host.ts";

export const trustDomain = "sandgate.test";
export const operatorUserId = "11111111-0000-4000-8000-000000000001";
export const organizationId = "5f0e9c1e-0000-4000-8000-000000000001";

/** A certificate and its key, PEM. */
export interface Identity {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** What runs twice. */
export type ProgramName = ReplicaOrders["program"];

/** Two replicas of every program on one database, each in a process of its own; no sandbox runs in it. */
export interface ReplicaSuite {
  readonly pki: DevelopmentPki;
  /** Below it lies what all programs keep in files. */
  readonly directory: string;
  /** Where the machine's sandboxes are, as the Sandbox replicas' driver has it. */
  readonly machine: string;
  readonly replicas: Readonly<Record<ProgramName, readonly [Replica, Replica]>>;
  readonly all: readonly Replica[];
  /** An operator with the role admin. */
  readonly operator: Identity;
  /** The certificate of a program. */
  identityOf(program: ProgramName): Identity;
  /** The socket of a sandbox at each of the proxies. */
  egressSockets(sandboxId: string): readonly [string, string];
  /** A channel to one replica. Closed with the suite. */
  connect(
    program: "auth" | "sandbox" | "policy",
    at: 0 | 1,
    identity: Identity | undefined,
    listener?: "edge" | "mtls",
  ): Channel;
  stop(): Promise<void>;
}

/** Starts the suite. Each consumer of a service prefers another of its replicas. */
export async function startReplicaSuite(options: {
  readonly database: SocketConnection;
  /** Of the sandboxes' session tokens, in minutes. */
  readonly sessionMinutes?: number;
  /** Names that the proxies dial at servers of this machine. */
  readonly origins?: readonly object[];
}): Promise<ReplicaSuite> {
  const directory = mkdtempSync(join(tmpdir(), "sgr-"));
  const within = (...names: readonly string[]) => join(directory, ...names);
  const machine = within("machine");
  const sides = ["a", "b"] as const;
  const socketRoots = sides.flatMap((side) => [within(side, "control"), within(side, "egress")]);
  for (const path of [machine, within("logs"), ...socketRoots]) mkdirSync(path, { recursive: true, mode: 0o711 });
  const pki = await createDevelopmentPki({ directory: within("pki"), trustDomain, operatorUserId });
  const { host, port, database, user } = options.database;

  const common = (program: ProgramName) => ({
    mode: "development" as const,
    trust_domain: trustDomain,
    admin: { port: 0 },
    tls: {
      certificate_file: pki.services[program].certificateFile,
      key_file: pki.services[program].keyFile,
      service_ca_file: pki.serviceAuthority.certificateFile,
      sandbox_ca_file: pki.sandboxAuthority.certificateFile,
      operator_ca_file: pki.operatorAuthority.certificateFile,
    },
  });
  const replica = (program: ProgramName, side: 0 | 1, config: () => object): Replica =>
    new Replica({
      name: `${program}-${sides[side]}`,
      directory: within("logs"),
      orders: (address) => ({
        program,
        machine: { machine, socketRoots },
        config: {
          ...common(program),
          ...(program !== "egress-proxy" && {
            listeners: { edge: { addresses: [address("edge")] }, mtls: { addresses: [address("mtls")] } },
            database: { host, port, database, user },
          }),
          ...config(),
        },
      }),
    });
  const both = (program: ProgramName, config: (side: 0 | 1) => object): readonly [Replica, Replica] => [
    replica(program, 0, () => config(0)),
    replica(program, 1, () => config(1)),
  ];
  /** The way to a service, its replica of the same side first. */
  const to = (pair: () => readonly [Replica, Replica], side: 0 | 1) => {
    const [one, other] = pair();
    const addresses = [one.address("mtls"), other.address("mtls")];
    return { address: side === 0 ? addresses : addresses.toReversed() };
  };

  const auth = both("auth", () => ({
    key_directory: within("keys"),
    sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.sandboxAuthority.keyFile },
    lives: { session_minutes: options.sessionMinutes ?? 15 },
    operators: [
      {
        id: operatorUserId,
        name: "operator",
        role: "admin",
        organization_id: organizationId,
        organization_name: "test",
      },
    ],
  }));
  const policy = both("policy", (side) => ({ clients: { auth: to(() => auth, side) } }));
  const anyFile = pki.serviceAuthority.certificateFile; // the idle driver looks at none of these
  const sandbox = both("sandbox", (side) => ({
    clients: { auth: to(() => auth, side), policy: to(() => policy, side) },
    directories: { control: within(sides[side], "control"), egress: within(sides[side], "egress") },
    state_directory: within("state"),
    sweep_interval_ms: 1_000,
    driver: { local: { node_file: anyFile, supervisor_file: anyFile, terminal_file: anyFile, keep_spare: false } },
  }));
  const proxy = both("egress-proxy", (side) => ({
    clients: { auth: to(() => auth, side), policy: to(() => policy, side) },
    directories: { egress: within(sides[side], "egress") },
    ...(options.origins !== undefined && { development: { origins: options.origins } }),
  }));
  const replicas = { auth, policy, sandbox, "egress-proxy": proxy };
  // both at once: the first start of a database is a race, too
  for (const pair of [auth, policy, sandbox, proxy]) await Promise.all(pair.map((one) => one.start()));

  const serviceCa = readFileSync(pki.serviceAuthority.certificateFile, "utf8");
  const channels: Channel[] = [];
  return {
    pki,
    directory,
    machine,
    replicas,
    all: [...auth, ...policy, ...sandbox, ...proxy],
    operator: readIdentity(pki.operator),
    identityOf: (program) => readIdentity(pki.services[program]),
    egressSockets: (sandboxId) => [
      within("a", "egress", sandboxId, "egress.sock"),
      within("b", "egress", sandboxId, "egress.sock"),
    ],
    connect: (program, at, identity, listener = "mtls") => {
      const channel = createGrpcChannel({
        address: replicas[program][at].address(listener),
        serverName: `${program}.${trustDomain}`,
        certificates: new CertificateStore({
          ca: serviceCa,
          ...(identity !== undefined && { certificate: identity.certificatePem, key: identity.keyPem }),
        }),
      });
      channels.push(channel);
      return channel;
    },
    stop: async () => {
      for (const channel of channels) channel.close();
      await Promise.all([...proxy, ...sandbox, ...policy, ...auth].map((one) => one.kill()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function readIdentity(files: CertificateFiles): Identity {
  return { certificatePem: readFileSync(files.certificateFile, "utf8"), keyPem: readFileSync(files.keyFile, "utf8") };
}
