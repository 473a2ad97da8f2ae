import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type WatchPoliciesResponse, WatchPoliciesResponseSchema } from "@sandgate/api/policy";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SupervisorSession } from "./supervisor-session.ts";
import { SupervisorSessions } from "./supervisor-sessions.ts";
import { WorkloadGrantsFeed } from "./workload-grants.ts";

/** A Policy service that says what the test says. */
class ScriptedPolicy {
  readonly asked: bigint[] = [];
  #deliver: ((message: WatchPoliciesResponse | undefined) => void) | undefined;
  #waiting = Promise.withResolvers<void>();

  watchPolicies = async function* (
    this: ScriptedPolicy,
    request: { readonly afterVersion?: bigint },
    options?: { readonly signal?: AbortSignal },
  ): AsyncGenerator<WatchPoliciesResponse> {
    this.asked.push(request.afterVersion ?? 0n);
    for (;;) {
      const next = new Promise<WatchPoliciesResponse | undefined>((resolve) => {
        this.#deliver = resolve;
        options?.signal?.addEventListener("abort", () => resolve(undefined));
      });
      this.#waiting.resolve();
      const message = await next;
      if (message === undefined) return;
      yield message;
    }
  }.bind(this);

  /** Resolves when the message was read and the next one is waited for. */
  async say(message: MessageInitShape<typeof WatchPoliciesResponseSchema> | undefined): Promise<void> {
    await this.#waiting.promise;
    this.#waiting = Promise.withResolvers();
    this.#deliver?.(message && create(WatchPoliciesResponseSchema, message));
    await this.#waiting.promise;
  }
}

const sandboxId = "sbx-aaaaaaaaaaaaaaaaaaaa";
let policy: ScriptedPolicy;
let sessions: SupervisorSessions;
let feed: WorkloadGrantsFeed;
let stop: AbortController;
let following: Promise<void>;
beforeEach(() => {
  policy = new ScriptedPolicy();
  sessions = new SupervisorSessions();
  stop = new AbortController();
  feed = new WorkloadGrantsFeed({ policy, sessions, logger: { warn: () => {} } });
  following = feed.follow(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await following;
});

function connect(id = sandboxId) {
  const session = new SupervisorSession({ sandboxId: id, incarnation: 1n, nowMs: 0 });
  sessions.open(session);
  feed.tell(session);
  const commands = session.commands();
  return { session, next: async () => (await commands.next()).value };
}
const granted = (...audiences: string[]) => ({
  sandboxId,
  revision: 1n,
  policy: { identity: { audiences } },
});
const told = (...audiences: string[]) => ({ case: "workloadGrants", value: { audiences, providers: [] } });

describe("what supervisors are told of their workloads' grants", () => {
  it("begins when they connect, or as soon as anything is known", async () => {
    const early = connect();
    await policy.say({ version: 1n, snapshot: true, upserted: [granted("a.example.com")] });
    expect(await early.next()).toEqual(told("a.example.com"));
    expect(await connect().next()).toEqual(told("a.example.com"));
    expect(await connect("sbx-bbbbbbbbbbbbbbbbbbbb").next()).toEqual(told());
  });

  it("goes on with every change of the grants, and with no other change", async () => {
    await policy.say({ version: 1n, snapshot: true, upserted: [] });
    const { next } = connect();
    expect(await next()).toEqual(told());
    await policy.say({ version: 2n, upserted: [granted("a.example.com")] });
    await policy.say({ version: 3n, upserted: [granted("a.example.com")] });
    await policy.say({ version: 4n, upserted: [granted("b.example.com")] });
    await policy.say({ version: 5n, removedSandboxIds: [sandboxId] });
    expect([await next(), await next(), await next()]).toEqual([told("a.example.com"), told("b.example.com"), told()]);
  });

  it("tells of providers and their versions, so that the environment is asked for anew", async () => {
    const bound = (version: bigint) => ({
      sandboxId,
      providers: [{ providerId: "prv-aaaaaaaaaaaaaaaaaaaa", provider: { name: "models", version } }],
    });
    const toldOf = (...providers: string[]) => ({ case: "workloadGrants", value: { audiences: [], providers } });
    await policy.say({ version: 1n, snapshot: true, upserted: [granted()], providers: [bound(1n)] });
    const { next } = connect();
    expect(await next()).toEqual(toldOf("models@1"));
    await policy.say({ version: 2n, upserted: [granted()], providers: [bound(1n)] });
    await policy.say({ version: 3n, upserted: [granted()], providers: [bound(2n)] });
    await policy.say({ version: 4n, upserted: [granted()] });
    expect([await next(), await next()]).toEqual([toldOf("models@2"), toldOf()]);
  });

  it("takes away, by a new snapshot, what was granted before the stream broke", async () => {
    await policy.say({ version: 7n, snapshot: true, upserted: [granted("a.example.com")] });
    const { next } = connect();
    expect(await next()).toEqual(told("a.example.com"));
    await policy.say(undefined);
    expect(policy.asked).toEqual([0n, 7n]);
    await policy.say({ version: 2n, snapshot: true, upserted: [] });
    expect(await next()).toEqual(told());
  });
});
