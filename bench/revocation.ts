import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { startEmbeddedPostgres } from "@sandgate/postgres";
import { type Client, createClient } from "@sandgate/rpc";
import { requestThroughProxy } from "../scripts/demo/proxy-request.ts";
import { answerOf, type Consumer, consumers, type ReplicaSandbox } from "../test/faults/replicas/replica-sandbox.ts";
import { type ReplicaSuite, startReplicaSuite } from "../test/faults/replicas/replica-suite.ts";
import type { Benchmark } from "./benchmark.ts";
import { enterLiveSandboxes, type LiveSandboxes } from "./revocation/live-sandboxes.ts";

const liveSandboxes = 10_000;
/** A session of 15 minutes is refreshed after about 12. */
const refreshesPerSecond = Math.round(liveSandboxes / (12 * 60));
const pollMs = 2;
const inFlight = 16;

const groups = {
  "Auth, both replicas": ["auth-a", "auth-b"],
  "Sandbox, both replicas": ["sandbox-a", "sandbox-b"],
  "Policy, both replicas": ["policy-a", "policy-b"],
  "egress proxies, both": ["egress-proxy-a", "egress-proxy-b"],
} satisfies Readonly<Record<string, readonly Consumer[]>>;

/** From the answer of RevokeSandbox to the refusal at every replica of everything. */
export const benchmark: Benchmark = {
  defaultRounds: 200,
  async run({ rounds, onProgress }) {
    const directory = mkdtempSync(join(tmpdir(), "sandgate-bench-"));
    chmodSync(directory, 0o711); // as root the database has an uid of its own and has to pass
    const runtimeDirectory = join(directory, "r");
    mkdirSync(runtimeDirectory, { mode: 0o711 });
    const server = await startEmbeddedPostgres({
      dataDirectory: join(directory, "data"),
      runtimeDirectory,
      lifetime: "starter",
      maxConnections: 200,
    });
    const suite = await startReplicaSuite({ database: server.connection });
    const live = await enterLiveSandboxes(suite, { database: server.connection, count: liveSandboxes });
    const lags = new Map<Consumer, number[]>(consumers.map((consumer) => [consumer, []]));
    const everywhere: number[] = [];
    const refreshing = new AbortController();
    const refreshes = refreshForEver(live, refreshing.signal);
    try {
      onProgress(`${liveSandboxes} sandboxes are in the register: filling what every replica keeps`);
      await fillCaches(suite, live);
      const admins = ([0, 1] as const).map((at) =>
        createClient(AuthService, suite.connect("auth", at, suite.operator)),
      );
      for (let round = 1; round <= rounds; round++) {
        const sandbox = await live.connect(live.ids[live.ids.length - round] ?? "");
        const found = await measure(sandbox, admins[round % 2]);
        for (const [consumer, lagMs] of found) lags.get(consumer)?.push(lagMs);
        everywhere.push(Math.max(...found.values()));
        sandbox.close();
        if (round % 20 === 0)
          onProgress(
            `${round}/${rounds}: everywhere p50 ${percentile(everywhere, 0.5).toFixed(0)} ms, p99 ${percentile(everywhere, 0.99).toFixed(0)} ms`,
          );
      }
    } finally {
      refreshing.abort();
      await refreshes;
      await live.close();
      await suite.stop();
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    }
    const row = (name: string, values: readonly number[]) => ({
      name,
      cells: [0.5, 0.99].map((part) => `${percentile(values, part).toFixed(1)} ms`),
    });
    return {
      title: "Revocation",
      method:
        `From the return of RevokeSandbox to the first refusal, of ${rounds} sandboxes, one after another, at Auth's two replicas in turns. Two replicas each of Auth, Sandbox, Policy and ` +
        `the egress proxy, each a process of its own, on one durable PostgreSQL; ${liveSandboxes} sandboxes are registered, have policies and channels, and are in the caches of Sandbox, Policy ` +
        `and the proxies; ${refreshesPerSecond} tokens a second are superseded meanwhile, as so many sandboxes' refreshes do. The revoked sandbox asks everywhere, with its own certificate and tokens, every ${pollMs} ms.`,
      columns: ["p50", "p99"],
      rows: [
        ...Object.entries(groups).map(([name, members]) =>
          row(
            name,
            everywhere.map((_, round) => Math.max(...members.map((member) => lags.get(member)?.[round] ?? Number.NaN))),
          ),
        ),
        row("**everywhere**", everywhere),
      ],
      limits: [{ name: "refused everywhere, p99 in ms", measured: percentile(everywhere, 0.99), limit: 500 }],
    };
  },
};

/** How long after the revocation's return each consumer refused first. */
async function measure(
  sandbox: ReplicaSandbox,
  admin: Client<typeof AuthService> | undefined,
): Promise<ReadonlyMap<Consumer, number>> {
  for (const consumer of consumers)
    if (isRefused(await sandbox.ask(consumer))) throw new Error(`${consumer} refuses a sandbox that is not revoked`);
  const refusedAt = consumers.map(async (consumer) => {
    while (!isRefused(await sandbox.ask(consumer))) await sleep(pollMs);
    return [consumer, performance.now()] as const;
  });
  await admin?.revokeSandbox({ sandbox: sandbox.id, reason: "a benchmark" });
  const returnedAt = performance.now();
  return new Map(
    (await Promise.all(refusedAt)).map(([consumer, at]) => [consumer, Math.max(0, at - returnedAt)] as const),
  );
}

/** Sandbox has no rows of these sandboxes: it takes them for who they are, and knows nothing of them. */
function isRefused(answer: string): boolean {
  return answer !== "taken" && answer !== "SANDBOX_NOT_FOUND";
}

async function fillCaches(suite: ReplicaSuite, live: LiveSandboxes): Promise<void> {
  const call = { timeoutMs: 30_000 };
  const clients = ([0, 1] as const).map((at) => ({
    sandbox: createClient(SandboxService, suite.connect("sandbox", at, suite.operator)),
    policy: createClient(PolicyService, suite.connect("policy", at, suite.operator)),
  }));
  await eachOf(live.ids, async (id) => {
    const token = await live.mintEgressToken(id);
    for (const socket of suite.egressSockets(id)) await askProxy(socket, token);
    for (const { sandbox, policy } of clients) {
      await answerOf(sandbox.getSandbox({ sandbox: id }, call));
      await policy.getPolicy({ sandbox: id }, call);
    }
  });
}

/** Waits for a channel that is not open yet. */
async function askProxy(socket: string, token: string): Promise<void> {
  for (let attempts = 0; ; attempts += 1) {
    try {
      const { status } = await requestThroughProxy({ socket, url: "http://nowhere.example/", token });
      if (status === 403) return;
    } catch (fault) {
      if (attempts > 600) throw fault;
    }
    await sleep(100);
  }
}

async function eachOf(ids: readonly string[], work: (id: string) => Promise<void>): Promise<void> {
  const rest = ids.values();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (const id of rest) await work(id);
    }),
  );
}

async function refreshForEver(live: LiveSandboxes, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await live.supersedeToken();
    await sleep(1_000 / refreshesPerSecond, undefined, { signal }).catch(() => {}); // over
  }
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}
