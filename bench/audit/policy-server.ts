/** The Policy service on a durable PostgreSQL of its own; the register of subjects and the trust state are in memory. */
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SandboxSubjectSchema, UserSubjectSchema, WatchTrustResponseSchema } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { createServiceListeners, type SubjectRegister, TrustState } from "@sandgate/identity";
import { startEmbeddedPostgres } from "@sandgate/postgres";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { openPolicy } from "../../services/policy/src/index.ts";
import { serveMeasurements } from "../server-process.ts";

/** What audit.ts tells this program. */
export interface PolicyServerSettings {
  readonly directory: string;
  readonly trustDomain: string;
  readonly userId: string;
  readonly organizationId: string;
  readonly sandboxId: string;
  readonly tls: Parameters<typeof createServiceListeners>[0]["tls"];
}

const settings = JSON.parse(process.argv[2] ?? "") as PolicyServerSettings; // written by audit.ts
const runtimeDirectory = join(settings.directory, "runtime");
mkdirSync(runtimeDirectory, { mode: 0o711 });
const postgres = await startEmbeddedPostgres({
  dataDirectory: join(settings.directory, "data"),
  runtimeDirectory,
  lifetime: "starter",
});

const sandbox = create(SandboxSubjectSchema, {
  sandboxId: settings.sandboxId,
  name: "bench",
  organizationId: settings.organizationId,
  incarnation: 1n,
  alive: true,
  trusted: true,
});
const user = create(UserSubjectSchema, {
  userId: settings.userId,
  name: "bench",
  organizationId: settings.organizationId,
  role: Role.ADMIN,
  active: true,
});
const register: SubjectRegister = {
  findSandbox: async (sandboxId) => (sandboxId === sandbox.sandboxId ? sandbox : undefined),
  findSandboxByName: async () => undefined,
  findUser: async (userId) => (userId === user.userId ? user : undefined),
};
const trust = new TrustState({ clock: Date.now });
const tell = (change: { case: "snapshot" | "heartbeat"; value: object }) =>
  trust.apply(create(WatchTrustResponseSchema, { sequence: 1n, change }));
tell({ case: "snapshot", value: {} });
setInterval(() => tell({ case: "heartbeat", value: {} }), 1000);

const policy = await openPolicy({
  settings: { decision_retention_days: 7 },
  connection: postgres.connection,
  trust,
  register,
  auth: {
    createExchangePermit: () => Promise.reject(new Error("nobody asks for one")),
    issueEgressToken: () => Promise.reject(new Error("nobody asks for one")),
  },
  sockets: { open: async () => {}, close: async () => {} },
  logger: createLogger({ service: "policy", level: "warn", destination: process.stderr }),
  clock: Date.now,
});
const listeners = createServiceListeners({
  services: policy.module.services,
  trust,
  register,
  trustDomain: settings.trustDomain,
  tls: settings.tls,
  edgeAddresses: [],
  mtlsAddresses: ["127.0.0.1:0"],
  recordDenial: (_service, record) => policy.audit.record(record),
  denialBurst: Number.MAX_SAFE_INTEGER, // what is measured is how fast they are chained
  metrics: createMetrics(),
  clock: Date.now,
  newId: randomUUID,
  isServing: () => true,
  onFault: (fault) => console.error(fault),
});
await policy.module.start();
const { mtls } = await listeners.start();
serveMeasurements(Number(/:(\d+)$/.exec(mtls[0] ?? "")?.[1]), async () => {
  const verification = await policy.audit.verify();
  if (verification.kind !== "intact") throw new Error("the audit log is broken");
  await policy.module.stop();
  await listeners.stop(0);
  await policy.close();
  await postgres.stop();
});
