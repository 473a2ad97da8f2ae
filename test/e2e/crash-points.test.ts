import { getOption } from "@bufbuild/protobuf";
import { AuthService } from "@sandgate/api/auth";
import { access, Listener, PrincipalKind } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { ConnectSupervisorRequestSchema, ConnectSupervisorResponseSchema, SandboxService } from "@sandgate/api/sandbox";
import { crashPointMethods } from "@sandgate/testing";
import { afterAll, describe, expect, it } from "vitest";
import { PostgresAuthStore } from "../../services/auth/src/store/postgres-auth-store.ts";
import { PostgresSandboxSessionStore } from "../../services/auth/src/store/postgres-sandbox-session-store.ts";
import { PostgresSigningKeyStore } from "../../services/auth/src/store/postgres-signing-key-store.ts";
import { Channel } from "../../services/egress-proxy/src/channel/channel.ts";
import { PostgresPolicyStore } from "../../services/policy/src/store/postgres-policy-store.ts";
import { LocalDriver } from "../../services/sandbox/src/drivers/local/local-driver.ts";
import { PostgresSandboxStore } from "../../services/sandbox/src/store/postgres-sandbox-store.ts";
import { createBenchPool } from "./crash/bench-pool.ts";
import type { CrashBench, Topology } from "./crash/crash-bench.ts";
import {
  authCrashPoints,
  channelCrashPoints,
  driverCrashPoints,
  keyCrashPoints,
  policyCrashPoints,
  proxyCrashPoints,
  sandboxCrashPoints,
  sessionCrashPoints,
  supervisorCrashPoints,
} from "./crash/crash-points.ts";
import { type Life, lives, liveThrough } from "./crash/sandbox-life.ts";

// more lives at a time than processors: a life is mostly waiting
const pool = await createBenchPool(["separate", "separate", "all in one"]);
afterAll(() => pool.stop());

/**
 * In the life that is named each of these has something to do; elsewhere they may happen to be reached, or may change nothing.
 * Every other point is tried in the first life that reaches it.
 */
const owners: Readonly<Record<string, Life["name"]>> = {
  "sandbox.expire": "deleted by its time",
  "sandbox.touchSupervisors": "long",
  "sandbox.endIdle": "ended as idle",
  "sandbox.prune": "from the start of the programs to their end",
  "policy.prune": "from the start of the programs to their end",
  "driver.list": "from the start of the programs to their end",
  "proxy.watchTrust": "from the start of the programs to their end",
  "proxy.watchPolicies": "from the start of the programs to their end",
  // tried as well, as it happens, by a supervisor that is revoked
  "auth.rejoin": "away for longer than its session",
  "supervisor.refreshSandboxToken": "renewing its session",
  "supervisor.rejoinSandbox": "away for longer than its session",
};

const logged = ["schema_migrations", "audit_events", "audit_head"];
/**
 * The tables of the stores with crash points. Auth's others have none, since no life of a sandbox writes there: accounts, how they log in,
 * and their API keys. Permits are signed, and kept nowhere.
 */
const writtenTables: ReadonlySet<string> = new Set(
  Object.entries({
    auth: [
      ...logged,
      "organizations",
      "users",
      "sandboxes",
      "sessions",
      "sandbox_sessions",
      "signing_keys",
      "trust_events",
      "trust_head",
    ],
    policy: [
      ...[...logged, "change_counters", "policy_revisions", "current_policies", "enforcements", "requests"],
      ...["proxy_runs", "decision_gaps", "decisions"],
    ],
    sandbox: [
      ...[...logged, "sandboxes", "sandbox_history", "quota_locks", "requests", "sandbox_log_ends", "sandbox_logs"],
    ],
  }).flatMap(([schema, tables]) => tables.map((table) => `${schema}.${table}`)),
);

/** Every point that is reached on a bench, and the life in which it is tried. */
async function findPoints(bench: CrashBench): Promise<Found> {
  const found = new Map<string, Life>();
  for (const life of lives)
    for (const point of await liveThrough(bench, life)) {
      const owner = owners[point.replace(/:.*/, "")] ?? life.name;
      if (!found.has(point) && owner === life.name) found.set(point, life);
    }
  await bench.end();
  return { points: found, tables: await bench.changedTables() };
}

const found = await Promise.all([pool.use("separate", findPoints), pool.use("all in one", findPoints)]);
const [{ points: separate }, { points: allInOne }] = found;
/** The proxy and the supervisor have no part in the control plane's topology: they die once. */
const isControlPlanes = (point: string) => /^(auth|keys|sessions|policy|sandbox|driver)\./.test(point);

interface Found {
  readonly points: ReadonlyMap<string, Life>;
  readonly tables: readonly string[];
}

interface Case {
  readonly topology: Topology;
  readonly point: string;
  readonly life: Life;
}

/** Life by life, since a bench starts its programs anew for one that needs other settings. */
function casesOf(
  topology: Topology,
  points: ReadonlyMap<string, Life>,
): readonly (Case & { readonly order: number })[] {
  return [...points]
    .map(([point, life]) => ({ topology, point, life }))
    .sort((a, b) => lives.indexOf(a.life) - lives.indexOf(b.life))
    .map((each, index) => ({ ...each, order: index / points.size }));
}

const cases = [
  ...casesOf("separate", separate),
  ...casesOf("all in one", new Map([...allInOne].filter(([point]) => isControlPlanes(point)))),
].sort((a, b) => a.order - b.order); // so that no bench waits for the others at the end

describe("a program's crash points", () => {
  const around = (name: string, methods: readonly string[]) =>
    methods.flatMap((method) => [`${name}.${method}:before`, `${name}.${method}:after`]);
  const tried = (points: Iterable<string>) =>
    new Set([...points].map((point) => point.replace(/replace\(.*\)/, "replace")));
  const controlPlane = [
    ...around("sandbox", crashPointMethods(PostgresSandboxStore.prototype, sandboxCrashPoints)),
    ...around("auth", crashPointMethods(PostgresAuthStore.prototype, authCrashPoints)),
    ...around("keys", crashPointMethods(PostgresSigningKeyStore.prototype, keyCrashPoints)),
    ...around("sessions", crashPointMethods(PostgresSandboxSessionStore.prototype, sessionCrashPoints)),
    ...around("policy", crashPointMethods(PostgresPolicyStore.prototype, policyCrashPoints)),
    ...around("driver", crashPointMethods(LocalDriver.prototype, driverCrashPoints)),
  ];
  const methods = [...AuthService.methods, ...PolicyService.methods, ...SandboxService.methods];
  const proxys = methods
    .filter((method) => getOption(method, access).peers.some(({ service }) => service === "egress-proxy"))
    .filter(({ localName }) => !proxyCrashPoints.harmless.includes(localName));
  const supervisors = methods
    .filter((method) => {
      const { listeners, principals } = getOption(method, access);
      const isReachable = listeners.includes(Listener.ENROL) || listeners.includes(Listener.CONTROL);
      return isReachable && principals.includes(PrincipalKind.SANDBOX);
    })
    .filter(({ localName }) => !supervisorCrashPoints.harmless.includes(localName));

  it.each([
    [
      "Auth, Policy and Sandbox as separate programs: before and after every store commit and driver call",
      separate,
      controlPlane,
    ],
    ["the all-in-one: before and after every store commit and driver call", allInOne, controlPlane],
    [
      "the egress proxy: around every call that it makes, every change that it applies, and every socket",
      separate,
      [
        ...proxys.map(({ localName }) => `proxy.${localName}:before`),
        ...around("proxy", ["watchPolicies(policy)", "watchPolicies(removal)", "watchTrust(revocation)"]),
        ...around("proxy", ["reportPolicyStatus", "reportDecisions"]),
        ...around("channel", crashPointMethods(Channel.prototype, channelCrashPoints)),
      ],
    ],
    [
      "the supervisor: around every call that it makes, and every message that says or asks for something new",
      separate,
      [
        ...supervisors.map(({ localName }) => `supervisor.${localName}:before`),
        ...around(
          "supervisor",
          supervisors.filter(({ methodKind }) => methodKind === "unary").map(({ localName }) => localName),
        ),
        ...around(
          "supervisor",
          [...ConnectSupervisorRequestSchema.fields, ...ConnectSupervisorResponseSchema.fields]
            .filter(({ oneof, localName }) => oneof !== undefined && localName !== "ping" && localName !== "pong")
            .map(({ localName }) => `connectSupervisor(${localName})`),
        ),
        ...around("supervisor", ["rejoinSandbox(credentials)", "relayExec(exit)", "pushSandboxLogs"]),
      ],
    ],
  ] as const)("are all tried: %s", (_, points, wanted) => {
    const reached = tried(points.keys());
    expect(wanted.length).toBeGreaterThan(8);
    expect(wanted.filter((point) => !reached.has(point))).toEqual([]);
  });

  it("are around every store that a sandbox's life writes to", () => {
    for (const { tables } of found) {
      expect(tables).toEqual(expect.arrayContaining(["auth.sandboxes", "auth.signing_keys", "sandbox.sandboxes"]));
      expect(tables.filter((table) => !writtenTables.has(table))).toEqual([]);
    }
  });
});

describe("kill -9 leaves a sandbox that is whole, or FAILED for the supervisor's death, and nothing of one that is deleted (D-29)", () => {
  it.concurrent.for(cases)(
    "$topology: at $point, $life.name",
    { timeout: 900_000 }, // with the time that it waits for a bench
    async ({ topology, point, life }, { onTestFailed }) => {
      await pool.use(topology, async (bench) => {
        onTestFailed(() => {
          process.stderr.write(`${bench.lastWords()}\n`);
        });
        await liveThrough(bench, life, point);
      });
    },
  );
});
