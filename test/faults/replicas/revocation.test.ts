import { AuthService } from "@sandgate/api/auth";
import { Action, PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { type Client, createClient } from "@sandgate/rpc";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type OriginServers, startOriginServers } from "../../../scripts/demo/origin-servers.ts";
import { openTunnel } from "../../e2e/open-tunnel.fixture.ts";
import { readIdleStart } from "./idle-driver.ts";
import { answerOf, type Consumer, consumers, enrolKey, ReplicaSandbox } from "./replica-sandbox.ts";
import { type ReplicaSuite, startReplicaSuite } from "./replica-suite.ts";

/** How soon a revocation is everywhere, and cuts what is open (G-15). */
const everywhereMs = 1_000;
/** The connections on which the replicas hear of changes. */
const listening = "datname = current_database() and application_name = 'sandgate' and query like 'listen%'";
/** A consumer that hears nothing of Auth for so long accepts nothing. */
const graceMs = 10_000;

let database: ThrowAwayDatabase;
let origins: OriginServers;
let authority: string;
let suite: ReplicaSuite;
let admin: {
  readonly auth: readonly [Client<typeof AuthService>, Client<typeof AuthService>];
  readonly sandbox: Client<typeof SandboxService>;
  readonly policy: Client<typeof PolicyService>;
};

beforeAll(async () => {
  database = await createThrowAwayDatabase({ services: ["auth", "sandbox", "policy"] });
  origins = await startOriginServers(["api.example"]);
  authority = await origins.authority();
  suite = await startReplicaSuite({
    database: database.connection,
    origins: [{ host: "api.example", port: 443, address: "127.0.0.1", target_port: origins.httpsPort }],
  });
  const { operator } = suite;
  admin = {
    auth: [
      createClient(AuthService, suite.connect("auth", 0, operator)),
      createClient(AuthService, suite.connect("auth", 1, operator)),
    ],
    sandbox: createClient(SandboxService, suite.connect("sandbox", 0, operator)),
    policy: createClient(PolicyService, suite.connect("policy", 1, operator)),
  };
}, 120_000);
afterAll(async () => {
  await suite?.stop();
  await origins?.close();
  await database?.drop();
});

const taken = Object.fromEntries(consumers.map((consumer) => [consumer, "taken"]));
const refused = Object.fromEntries(
  consumers.map((consumer) => [
    consumer,
    consumer.startsWith("egress") ? "token_revoked" : expect.stringMatching(/^CREDENTIAL_/),
  ]),
);
const patience = { timeout: 20_000, interval: 20 };

/** A sandbox that every replica of everything takes. */
async function create(name: string): Promise<ReplicaSandbox> {
  const created = await admin.sandbox.createSandbox({ requestId: crypto.randomUUID(), name });
  const id = created.sandbox?.id ?? "";
  const start = await vi.waitUntil(() => readIdleStart(suite.machine, id), patience);
  const { identity, credentials } = await enrolKey(suite, { sandboxId: id, bootstrapToken: start.bootstrapToken });
  const sandbox = new ReplicaSandbox(suite, { id, ...start, identity, token: credentials.token });
  await admin.policy.setPolicy({
    sandbox: id,
    policy: { rules: [{ name: "api", action: Action.ALLOW, hosts: ["api.example"] }] },
  });
  await sandbox.renewEgress();
  await vi.waitFor(async () => expect(await sandbox.askAll().catch(String)).toEqual(taken), patience);
  return sandbox;
}

/** Asks everywhere until all have refused. Answers how long after `since` the last request was sent that was taken. */
async function untilRefused(sandbox: ReplicaSandbox, since: number): Promise<number> {
  const last = await Promise.all(
    consumers.map(async (consumer) => {
      for (let takenMs = -1; ; ) {
        const sentMs = performance.now() - since;
        if ((await sandbox.ask(consumer)) !== "taken") return takenMs;
        takenMs = sentMs;
        if (takenMs > 20_000) throw new Error(`${consumer} does not refuse`);
      }
    }),
  );
  return Math.max(...last);
}

/** The stream of the sandbox's supervisor at one replica of Sandbox: the reason of its end, and when it was. */
async function openControlStream(
  sandbox: ReplicaSandbox,
  at: 0 | 1,
): Promise<{ readonly ended: Promise<{ readonly reason: string; readonly at: number }> }> {
  const begun = Promise.withResolvers<void>();
  const ended = answerOf(
    (async () => {
      const requests = (async function* () {
        yield {
          sandboxId: sandbox.id,
          message: { case: "hello", value: { incarnation: sandbox.incarnation, version: "test" } } as const,
        };
        await new Promise<void>(() => {});
      })();
      for await (const _command of sandbox.sandbox[at].connectSupervisor(requests, sandbox.authorization))
        begun.resolve();
    })(),
  ).then((reason) => ({ reason, at: performance.now() }));
  await begun.promise; // the first ping
  return { ended };
}

describe("two replicas of everything", { timeout: 60_000 }, () => {
  it.each([0, 1] as const)(
    "G-15 a revocation at replica %d is everywhere within a second, and cuts what is open",
    async (at) => {
      const [doomed, other] = [await create(`doomed-${at}`), await create(`other-${at}`)];
      const streams = [await openControlStream(doomed, 0), await openControlStream(doomed, 1)];
      const tunnels = await Promise.all(
        doomed.egressSockets.map((egressSocket) =>
          openTunnel({ egressSocket, token: doomed.egressToken, host: "api.example", authority }),
        ),
      );
      await admin.auth[at].revokeSandbox({ sandbox: doomed.id, reason: "a test" });
      const [revokedAt, revokedAtMs] = [performance.now(), Date.now()];
      const takenMs = await untilRefused(doomed, revokedAt);
      const cuts = [
        ...(await Promise.all(streams.map(({ ended }) => ended))).map(({ reason, at }) => {
          expect(reason).toBe("CREDENTIAL_REVOKED");
          return at - revokedAt;
        }),
        ...(await Promise.all(tunnels.map(({ closed }) => closed))).map((closedAt) => closedAt - revokedAtMs),
      ];
      expect(takenMs).toBeLessThan(everywhereMs);
      expect(Math.max(...cuts)).toBeLessThan(everywhereMs);
      expect(await doomed.askAll()).toEqual(refused);
      expect(await other.askAll()).toEqual(taken);
    },
  );

  it("G-15 a revocation arrives also when no notification does: the change log is read once a second", async () => {
    const doomed = await create("unnotified");
    await database.runAsAdmin(`select pg_terminate_backend(pid) from pg_stat_activity where ${listening}`);
    await admin.auth[0].revokeSandbox({ sandbox: doomed.id, reason: "a test" });
    expect(await untilRefused(doomed, performance.now())).toBeLessThan(2 * everywhereMs);
    expect(await doomed.askAll()).toEqual(refused);
    // and listening has begun again
    const next = await create("notified");
    await admin.auth[1].revokeSandbox({ sandbox: next.id, reason: "a test" });
    expect(await untilRefused(next, performance.now())).toBeLessThan(everywhereMs);
  });

  it("G-15 a replica that was dead meanwhile never takes what was revoked meanwhile", {
    timeout: 120_000,
  }, async () => {
    for (const [program, pair] of Object.entries(suite.replicas)) {
      const doomed = await create(`down-${program}`);
      const other = await create(`up-${program}`);
      await pair[0].kill();
      await admin.auth[1].revokeSandbox({ sandbox: doomed.id, reason: "a test" });
      await pair[0].start();
      const answers = new Set<string>();
      await vi.waitFor(async () => {
        answers.add((await doomed.ask(`${program}-a` as Consumer).catch(() => "no answer")) === "taken" ? "taken" : "");
        expect(await other.askAll().catch(String)).toEqual(taken);
      }, patience);
      expect([...answers], program).toEqual([""]);
      expect(await doomed.askAll(), program).toEqual(refused);
    }
  });

  it("G-15 goes on past the grace while one Auth hangs, and hears what the other revokes", {
    timeout: 90_000,
  }, async () => {
    const [doomed, other] = [await create("revoked-meanwhile"), await create("served-meanwhile")];
    const reachable = consumers.filter((consumer) => consumer !== "auth-a");
    suite.replicas.auth[0].freeze();
    try {
      const since = performance.now();
      while (performance.now() - since < graceMs + 3_000)
        for (const consumer of reachable) expect([consumer, await other.ask(consumer)]).toEqual([consumer, "taken"]);
      await admin.auth[1].revokeSandbox({ sandbox: doomed.id, reason: "a test" });
      await vi.waitFor(async () => {
        for (const consumer of reachable) expect([consumer, await doomed.ask(consumer)]).not.toContain("taken");
      }, everywhereMs);
    } finally {
      suite.replicas.auth[0].thaw();
    }
    await vi.waitFor(async () => expect(await doomed.ask("auth-a")).toBe("CREDENTIAL_REVOKED"), patience);
  });

  it("G-15 without any Auth, streams and tunnels end when the grace does", { timeout: 90_000 }, async () => {
    const sandbox = await create("cut");
    const stream = await openControlStream(sandbox, 1);
    const tunnel = await openTunnel({
      egressSocket: sandbox.egressSockets[1],
      token: sandbox.egressToken,
      host: "api.example",
      authority,
    });
    await Promise.all(suite.replicas.auth.map((one) => one.kill()));
    const [killedAt, killedAtMs] = [performance.now(), Date.now()];
    const { reason, at } = await stream.ended;
    expect(reason).toBe("TRUST_UNAVAILABLE");
    expectAtEndOfGrace(at - killedAt);
    expectAtEndOfGrace((await tunnel.closed) - killedAtMs);
    expect(await sandbox.ask("sandbox-b")).toBe("TRUST_UNAVAILABLE");
    await Promise.all(suite.replicas.auth.map((one) => one.start()));
    await vi.waitFor(async () => expect(await sandbox.askAll().catch(String)).toEqual(taken), patience);
  });
});

/** Not before trust has ended, and at the next look at it. */
function expectAtEndOfGrace(ms: number): void {
  expect(ms).toBeGreaterThan(graceMs - 2_000);
  expect(ms).toBeLessThan(graceMs + 3_000);
}
