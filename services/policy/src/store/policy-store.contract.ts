import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Action, EnforcementSchema, PolicySchema, Verdict } from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import { describe, expect, it } from "vitest";
import type { DecisionRecord } from "../domain/decision-record.ts";
import { topics } from "../feed/topics.ts";
import type { PolicyChange } from "../messages/policy-change.ts";
import type { PolicyStore } from "./policy-store.ts";

/** A store under test, and what its change feed announced. */
export interface PolicyStoreSubject {
  readonly store: PolicyStore;
  /** The store of another replica on the same data. */
  readonly replica: PolicyStore;
  readonly announced: (topic: string) => number;
  /** Actions in the audit log about a sandbox, oldest first, with their details. */
  readonly auditedAbout: (
    scope: SandboxScope,
  ) => Promise<readonly { action: string; details: Record<string, string> }[]>;
}

const organizationId = "6f1d9a52-0c5e-4a39-9c55-0f8a3f1f7a01";
const author = { principal: "spiffe://sandgate.local/user/alice", peer: "spiffe://sandgate.local/service/sandbox" };

let made = 0;

/** A sandbox id that no other test uses. */
export function newSandboxId(): string {
  made += 1;
  return `sbx-${made
    .toString(6)
    .replace(/[01]/g, (digit) => (digit === "0" ? "a" : "b"))
    .padStart(20, "c")}`;
}

/** The scope that the pipeline would grant. */
function scopeOf(sandboxId: string, ofOrganizationId: string = organizationId): SandboxScope {
  return { sandboxId, organizationId: ofOrganizationId } as SandboxScope;
}

/** A change to a policy that allows one host. */
function allow(host: string, more: Partial<PolicyChange> = {}): PolicyChange {
  const policy = create(PolicySchema, { rules: [{ name: "one", action: Action.ALLOW, hosts: [host] }] });
  return { policy: toBinary(PolicySchema, policy), expectedRevision: undefined, requestId: undefined, ...more };
}

/** A decision, complete but for what `more` says otherwise. */
function decision(sandboxId: string, number: number, more: Partial<DecisionRecord> = {}): DecisionRecord {
  made += 1;
  return {
    decisionId: `dec-${newSandboxId().slice(4)}`,
    sandboxId,
    timeUs: 1_700_000_000_000_000n + BigInt(number),
    verdict: Verdict.ALLOWED,
    reason: "",
    method: "CONNECT",
    host: "api.example.test",
    port: 443,
    rule: "one",
    policyRevision: 1n,
    address: "",
    sentBytes: 0n,
    receivedBytes: 0n,
    durationUs: undefined,
    ...more,
  };
}

/** What every PolicyStore promises. */
export function describePolicyStore(name: string, start: () => PolicyStoreSubject): void {
  describe(`${name}: policies`, () => {
    it("counts a sandbox's revisions from 1 without gaps, also when they are set at once", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      const set = await Promise.all(
        Array.from({ length: 12 }, (_, index) => store.setPolicy(scope, allow(`h${index}.example.test`), author)),
      );
      expect(set.map(({ revision }) => revision).sort((a, b) => Number(a - b))).toEqual(
        Array.from({ length: 12 }, (_, index) => BigInt(index + 1)),
      );
    });

    it("finds the newest revision and any older one, with its author", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      await store.setPolicy(scope, allow("b.example.test"), author);
      const newest = await store.findPolicy(scope);
      const first = await store.findPolicy(scope, 1n);
      expect(newest?.revision).toMatchObject({ revision: 2n, author: author.principal });
      expect(first?.revision.policy?.rules[0]?.hosts).toEqual(["a.example.test"]);
      expect(newest?.enforcement).toMatchObject({ sandboxId: scope.sandboxId, revision: 0n });
      expect(await store.findPolicy(scope, 3n)).toBeUndefined();
      expect(await store.findPolicy(scopeOf(newSandboxId()))).toBeUndefined();
    });

    it.each([
      { expectedRevision: 1n, outcome: 2n },
      { expectedRevision: undefined, outcome: 2n },
      { expectedRevision: 2n, outcome: "POLICY_REVISION_STALE" },
    ])("sets revision 2 where $expectedRevision is expected: $outcome", async ({ expectedRevision, outcome }) => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      const set = store.setPolicy(scope, allow("b.example.test", { expectedRevision }), author);
      expect(await set.then(({ revision }) => revision, reasonOf)).toBe(outcome);
      expect((await store.findPolicy(scope))?.revision.revision).toBe(outcome === 2n ? 2n : 1n);
    });

    it("refuses an expected revision for a sandbox that has none", async () => {
      const { store } = start();
      const set = store.setPolicy(scopeOf(newSandboxId()), allow("a.example.test", { expectedRevision: 1n }), author);
      expect(await set.catch(reasonOf)).toBe("POLICY_REVISION_STALE");
    });

    it("answers a repeated request id as the first time and changes nothing, also when both come at once", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      const requestId = crypto.randomUUID();
      const [first, second] = await Promise.all([
        store.setPolicy(scope, allow("a.example.test", { requestId }), author),
        store.setPolicy(scope, allow("a.example.test", { requestId }), author),
      ]);
      await store.setPolicy(scope, allow("b.example.test"), author);
      const third = await store.setPolicy(scope, allow("a.example.test", { requestId }), author);
      expect([first.revision, second.revision, third.revision]).toEqual([1n, 1n, 1n]);
      expect(third).toEqual(first);
      expect((await store.findPolicy(scope))?.revision.revision).toBe(2n);
    });

    it.each([
      { other: "policy", change: { host: "b.example.test" } },
      { other: "expected revision", change: { expectedRevision: 1n } },
      { other: "author", change: { principal: "spiffe://sandgate.local/user/bob" } },
      { other: "sandbox", change: { sandboxId: newSandboxId() } },
    ])("refuses a request id that was used with another $other", async ({ change }) => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      const requestId = crypto.randomUUID();
      await store.setPolicy(scope, allow("a.example.test", { requestId }), author);
      const again = store.setPolicy(
        change.sandboxId === undefined ? scope : scopeOf(change.sandboxId),
        allow(change.host ?? "a.example.test", { requestId, expectedRevision: change.expectedRevision }),
        { ...author, principal: change.principal ?? author.principal },
      );
      expect(await again.catch(reasonOf)).toBe("REQUEST_ID_REUSED");
    });

    it("G-25 keeps the request ids of organizations apart", async () => {
      const { store } = start();
      const requestId = crypto.randomUUID();
      await store.setPolicy(scopeOf(newSandboxId()), allow("a.example.test", { requestId }), author);
      const other = scopeOf(newSandboxId(), crypto.randomUUID());
      const set = await store.setPolicy(other, allow("b.example.test", { requestId }), author);
      expect(set.sandboxId).toBe(other.sandboxId);
    });

    it("leaves a refused request id free", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      const requestId = crypto.randomUUID();
      const stale = allow("a.example.test", { requestId, expectedRevision: 5n });
      expect(await store.setPolicy(scope, stale, author).catch(reasonOf)).toBe("POLICY_REVISION_STALE");
      expect(await store.setPolicy(scope, allow("a.example.test", { requestId }), author)).toMatchObject({
        revision: 1n,
      });
    });

    it("G-31 writes one audit event for each revision, and none for repeated or refused requests", async () => {
      const { store, auditedAbout } = start();
      const scope = scopeOf(newSandboxId());
      const requestId = crypto.randomUUID();
      await store.setPolicy(scope, allow("a.example.test", { requestId }), author);
      await store.setPolicy(scope, allow("a.example.test", { requestId }), author);
      await store.setPolicy(scope, allow("a.example.test", { expectedRevision: 9n }), author).catch(reasonOf);
      expect(await auditedAbout(scope)).toEqual([
        { action: "policy.set", details: { revision: "1", request_id: requestId } },
      ]);
    });

    it("lists revisions newest first, page by page", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      for (const host of ["a", "b", "c", "d", "e"]) await store.setPolicy(scope, allow(`${host}.example.test`), author);
      const seen: bigint[] = [];
      let before: bigint | undefined;
      for (;;) {
        const page = await store.listRevisions(scope, 2, before);
        seen.push(...page.items.map(({ revision }) => revision));
        before = page.items.at(-1)?.revision;
        if (!page.more) break;
      }
      expect(seen).toEqual([5n, 4n, 3n, 2n, 1n]);
      expect(await store.listRevisions(scopeOf(newSandboxId()), 2, undefined)).toEqual({ items: [], more: false });
    });

    it("ends a page of large policies early, so that it fits into a message", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      for (let count = 0; count < 4; count++) await store.setPolicy(scope, largePolicy(), author);
      const page = await store.listRevisions(scope, 100, undefined);
      expect(page.items.map(({ revision }) => revision)).toEqual([4n, 3n]);
      expect(page.more).toBe(true);
    });
  });

  describe(`${name}: what is pushed`, () => {
    it("tells each change once, oldest first, each sandbox with its newest revision", async () => {
      const { store } = start();
      const [one, two] = [scopeOf(newSandboxId()), scopeOf(newSandboxId())];
      const before = await store.findPolicyVersion();
      await store.setPolicy(one, allow("a.example.test"), author);
      await store.setPolicy(two, allow("b.example.test"), author);
      await store.setPolicy(one, allow("c.example.test"), author);
      const changes = await store.readPolicyChanges(before);
      expect(changes.upserted.map(({ sandboxId, revision }) => [sandboxId, revision])).toEqual([
        [two.sandboxId, 1n],
        [one.sandboxId, 2n],
      ]);
      expect(changes).toMatchObject({ version: before + 3n, removedSandboxIds: [], more: false });
      expect(await store.readPolicyChanges(changes.version)).toMatchObject({ version: changes.version, upserted: [] });
    });

    it("tells of a retired sandbox as removed, and leaves it out of a snapshot", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      const before = await store.findPolicyVersion();
      await store.retire([scope.sandboxId, newSandboxId()]);
      await store.retire([scope.sandboxId]);
      expect(await store.readPolicyChanges(before)).toMatchObject({
        version: before + 1n,
        upserted: [],
        removedSandboxIds: [scope.sandboxId],
      });
      const snapshot = await readAllChanges(store, 0n);
      expect(snapshot.removed).toEqual([]);
      expect(snapshot.upserted).not.toContain(scope.sandboxId);
      expect(await store.isRetired(scope)).toBe(true);
    });

    it("refuses a new revision for a retired sandbox", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      await store.retire([scope.sandboxId]);
      expect(await store.setPolicy(scope, allow("b.example.test"), author).catch(reasonOf)).toBe("SANDBOX_NOT_FOUND");
    });

    it("splits changes that do not fit into a message, with a version to resume after at each part", async () => {
      const { store } = start();
      const before = await store.findPolicyVersion();
      const scopes = Array.from({ length: 4 }, () => scopeOf(newSandboxId()));
      for (const scope of scopes) await store.setPolicy(scope, largePolicy(), author);
      const first = await store.readPolicyChanges(before);
      expect(first.more).toBe(true);
      expect((await readAllChanges(store, before)).upserted).toEqual(scopes.map(({ sandboxId }) => sandboxId));
    });

    it("misses no change that was in the making while another was read", async () => {
      const { store, replica } = start();
      let version = await store.findPolicyVersion();
      const scopes = Array.from({ length: 40 }, () => scopeOf(newSandboxId()));
      const setting = Promise.all(
        scopes.map((scope, index) => (index % 2 ? store : replica).setPolicy(scope, allow("a.example.test"), author)),
      );
      const seen = new Set<string>();
      while (seen.size < scopes.length) {
        const changes = await store.readPolicyChanges(version);
        version = changes.version;
        for (const { sandboxId } of changes.upserted) seen.add(sandboxId);
      }
      await setting;
      expect([...seen].sort()).toEqual(scopes.map(({ sandboxId }) => sandboxId).sort());
    });

    it("lists living sandboxes in order", async () => {
      const { store } = start();
      const scopes = Array.from({ length: 3 }, () => scopeOf(newSandboxId()));
      for (const scope of scopes) await store.setPolicy(scope, allow("a.example.test"), author);
      const [one, two, three] = scopes.map(({ sandboxId }) => sandboxId).sort();
      await store.retire([two ?? ""]);
      const living = await store.listLiving("");
      expect(living).toContain(one);
      expect(living).toContain(three);
      expect(living).not.toContain(two);
      expect([...living].sort()).toEqual(living);
      expect(await store.listLiving(one ?? "")).not.toContain(one);
    });

    it("announces a change to the watchers of that sandbox and of all policies", async () => {
      const { store, announced } = start();
      const scope = scopeOf(newSandboxId());
      const policies = announced(topics.policies);
      await store.setPolicy(scope, allow("a.example.test"), author);
      await store.retire([scope.sandboxId]);
      expect(announced(topics.sandbox(scope.sandboxId))).toBe(2);
      expect(announced(topics.policies)).toBeGreaterThanOrEqual(policies + 2);
    });
  });

  describe(`${name}: enforcement`, () => {
    const enforcement = (sandboxId: string, revision: bigint, fault = "") =>
      create(EnforcementSchema, { sandboxId, revision, fault, enforceTime: timestampFromMs(1_700_000_000_000) });

    it("keeps what was last said and tells each change once", async () => {
      const { store } = start();
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      await store.setPolicy(scope, allow("b.example.test"), author);
      await store.saveEnforcements([enforcement(scope.sandboxId, 1n)]);
      const { position } = await readAllEnforcements(store);
      await store.saveEnforcements([
        enforcement(scope.sandboxId, 1n, "cannot compile"),
        enforcement(scope.sandboxId, 2n),
      ]);
      await store.saveEnforcements([enforcement(scope.sandboxId, 2n)]);
      const changes = await store.readEnforcementChanges(position);
      expect(changes.items).toEqual([enforcement(scope.sandboxId, 2n)]);
      expect(changes.position).toBe(position + 1n);
      expect((await store.findPolicy(scope))?.enforcement).toEqual(enforcement(scope.sandboxId, 2n));
    });

    it("passes over unknown sandboxes, revisions that were never set and retired sandboxes", async () => {
      const { store } = start();
      const [one, two] = [scopeOf(newSandboxId()), scopeOf(newSandboxId())];
      await store.setPolicy(one, allow("a.example.test"), author);
      await store.setPolicy(two, allow("a.example.test"), author);
      await store.retire([two.sandboxId]);
      const { position } = await readAllEnforcements(store);
      await store.saveEnforcements([
        enforcement(newSandboxId(), 1n),
        enforcement(one.sandboxId, 2n),
        enforcement(two.sandboxId, 1n),
      ]);
      expect(await store.readEnforcementChanges(position)).toEqual({ position, items: [], more: false });
    });

    it("announces a change once, and none where nothing changed", async () => {
      const { store, announced } = start();
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      const before = announced(topics.sandbox(scope.sandboxId));
      await store.saveEnforcements([enforcement(scope.sandboxId, 1n)]);
      await store.saveEnforcements([enforcement(scope.sandboxId, 1n)]);
      expect(announced(topics.sandbox(scope.sandboxId))).toBe(before + 1);
    });
  });

  describe(`${name}: decisions`, () => {
    const living = async (store: PolicyStore): Promise<SandboxScope> => {
      const scope = scopeOf(newSandboxId());
      await store.setPolicy(scope, allow("a.example.test"), author);
      return scope;
    };
    const report = (
      decisions: readonly DecisionRecord[],
      firstSequence = 1n,
      dropped = 0n,
      proxyRunId = crypto.randomUUID(),
    ) => ({
      proxyRunId,
      firstSequence,
      decisions,
      dropped,
    });
    const all = async (store: PolicyStore, scope: SandboxScope) =>
      (await store.listDecisions(scope, { verdicts: [], pageSize: 1000, before: undefined })).items;

    it("finds a decision with the policies around it, within its organization alone, also when the sandbox is gone", async () => {
      const { store } = start();
      const scope = await living(store);
      const one = decision(scope.sandboxId, 1, { policyRevision: 1n });
      const two = decision(scope.sandboxId, 2, { policyRevision: 0n });
      await store.storeDecisions(report([one, two]));
      await store.setPolicy(scope, allow("b.example.test"), author);
      const find = (organization: string, { decisionId }: DecisionRecord) =>
        store.findDecision(organization, decisionId);
      expect(await find(scope.organizationId, one)).toMatchObject({
        decision: one,
        decidedBy: { rules: [{ hosts: ["a.example.test"] }] },
        current: { revision: 2n, policy: { rules: [{ hosts: ["b.example.test"] }] } },
        gone: false,
      });
      expect(await find(scope.organizationId, two)).toMatchObject({ decidedBy: undefined });
      expect(await find(crypto.randomUUID(), one)).toBeUndefined();
      await store.retire([scope.sandboxId]);
      expect(await find(scope.organizationId, one)).toMatchObject({ gone: true });
    });

    it("stores a decision as it was reported, and takes its end when it is reported", async () => {
      const { store } = start();
      const scope = await living(store);
      const opened = decision(scope.sandboxId, 1, { address: "93.184.216.34" });
      const closed = { ...opened, sentBytes: 10n, receivedBytes: 2n ** 40n, durationUs: 1_500_000n };
      const first = report([opened]);
      expect(await store.storeDecisions(first)).toBe(1n);
      expect(await all(store, scope)).toEqual([opened]);
      expect(await store.storeDecisions({ ...first, firstSequence: 2n, decisions: [closed] })).toBe(2n);
      expect(await all(store, scope)).toEqual([closed]);
    });

    it("takes the last state of a decision that is in one report twice", async () => {
      const { store } = start();
      const scope = await living(store);
      const opened = decision(scope.sandboxId, 1);
      const closed = { ...opened, durationUs: 5n, verdict: Verdict.FAILED, reason: "upstream_failed" };
      expect(await store.storeDecisions(report([opened, closed]))).toBe(2n);
      expect(await all(store, scope)).toEqual([closed]);
    });

    it("changes nothing for a report that is sent again, whole or in part", async () => {
      const { store } = start();
      const scope = await living(store);
      const decisions = Array.from({ length: 4 }, (_, index) => decision(scope.sandboxId, index));
      const first = report(decisions.slice(0, 3));
      await store.storeDecisions(first);
      const position = await store.findDecisionPosition();
      expect(await store.storeDecisions(first)).toBe(3n);
      expect(await store.findDecisionPosition()).toBe(position);
      expect(await store.storeDecisions({ ...first, firstSequence: 2n, decisions: decisions.slice(1) })).toBe(4n);
      expect((await store.readDecisionChanges(scope, position)).items).toEqual(decisions.slice(3));
    });

    it("stores a report once when it comes twice at the same time", async () => {
      const { store, replica } = start();
      const scope = await living(store);
      const position = await store.findDecisionPosition();
      const first = report([decision(scope.sandboxId, 1), decision(scope.sandboxId, 2)]);
      expect(await Promise.all([store.storeDecisions(first), replica.storeDecisions(first)])).toEqual([2n, 2n]);
      expect((await store.readDecisionChanges(scope, position)).items).toHaveLength(2);
    });

    it("R14 refuses a gap that the report does not account for, and takes one that it does", async () => {
      const { store } = start();
      const scope = await living(store);
      const first = report([decision(scope.sandboxId, 1)]);
      await store.storeDecisions(first);
      const later = { ...first, firstSequence: 5n, decisions: [decision(scope.sandboxId, 5)] };
      expect(await store.storeDecisions(later).catch(reasonOf)).toBe("DECISION_SEQUENCE_INVALID");
      expect(await store.storeDecisions({ ...later, dropped: 3n })).toBe(5n);
    });

    it("passes over decisions of unknown sandboxes and new ones of retired sandboxes", async () => {
      const { store } = start();
      const [alive, dead] = [await living(store), await living(store)];
      const opened = decision(dead.sandboxId, 1);
      const closed = { ...opened, durationUs: 7n };
      const first = report([opened]);
      await store.storeDecisions(first);
      await store.retire([dead.sandboxId]);
      const known = decision(alive.sandboxId, 2);
      const rest = [decision(newSandboxId(), 1), decision(dead.sandboxId, 2), closed, known];
      expect(await store.storeDecisions({ ...first, firstSequence: 2n, decisions: rest })).toBe(5n);
      expect(await all(store, alive)).toEqual([known]);
      expect(await all(store, dead)).toEqual([closed]);
    });

    it("G-23 lets no sandbox's report change another's decision", async () => {
      const { store } = start();
      const [one, two] = [await living(store), await living(store)];
      const own = decision(one.sandboxId, 1);
      await store.storeDecisions(report([own]));
      await store.storeDecisions(report([{ ...own, sandboxId: two.sandboxId, host: "evil.example.test" }]));
      expect(await all(store, one)).toEqual([own]);
      expect(await all(store, two)).toEqual([]);
    });

    it("lists newest first, page by page, also where times are equal", async () => {
      const { store } = start();
      const scope = await living(store);
      const decisions = Array.from({ length: 25 }, (_, index) =>
        decision(scope.sandboxId, Math.floor(index / 5), { verdict: index % 2 ? Verdict.DENIED : Verdict.ALLOWED }),
      );
      await store.storeDecisions(report(decisions));
      const listed: DecisionRecord[] = [];
      for (let before: DecisionRecord | undefined; ; before = listed.at(-1)) {
        const page = await store.listDecisions(scope, { verdicts: [], pageSize: 4, before });
        listed.push(...page.items);
        if (!page.more) break;
      }
      const newestFirst = [...decisions].sort(
        (a, b) => Number(b.timeUs - a.timeUs) || (a.decisionId < b.decisionId ? 1 : -1),
      );
      expect(listed).toEqual(newestFirst);
    });

    it("lists only the verdicts that are asked for", async () => {
      const { store } = start();
      const scope = await living(store);
      const denied = decision(scope.sandboxId, 2, { verdict: Verdict.DENIED, reason: "host_not_allowed" });
      const failed = decision(scope.sandboxId, 3, { verdict: Verdict.FAILED });
      await store.storeDecisions(report([decision(scope.sandboxId, 1), denied, failed]));
      const list = (verdicts: Verdict[]) => store.listDecisions(scope, { verdicts, pageSize: 10, before: undefined });
      expect((await list([Verdict.DENIED])).items).toEqual([denied]);
      expect((await list([Verdict.DENIED, Verdict.FAILED, Verdict.DENIED])).items).toEqual([failed, denied]);
    });

    it("tells a sandbox's changes in the order in which they were stored, and no other sandbox's", async () => {
      const { store, announced } = start();
      const [one, two] = [await living(store), await living(store)];
      const position = await store.findDecisionPosition();
      const decisions = [decision(one.sandboxId, 9), decision(two.sandboxId, 5), decision(one.sandboxId, 1)];
      await store.storeDecisions(report(decisions));
      const changes = await store.readDecisionChanges(one, position);
      expect(changes.items).toEqual([decisions[0], decisions[2]]);
      expect(await store.readDecisionChanges(one, changes.position)).toMatchObject({ items: [], more: false });
      expect(announced(topics.decisions(one.sandboxId))).toBe(1);
    });

    it("removes what is older than the retention and nothing else", async () => {
      const { store } = start();
      const scope = await living(store);
      const [old, recent] = [
        decision(scope.sandboxId, 1, { timeUs: 1_000_000_000n }),
        decision(scope.sandboxId, 1, { timeUs: 2_000_000_000n }),
      ];
      await store.storeDecisions(report([old, recent]));
      expect((await store.prune(1_500_000)).decisions).toBe(1);
      expect(await all(store, scope)).toEqual([recent]);
    });
  });
}

/** 600 kB in canonical form. */
function largePolicy(): PolicyChange {
  const hosts = Array.from(
    { length: 1000 },
    (_, index) => `h${index}.${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.test`,
  );
  const rules = Array.from({ length: 3 }, (_, index) => ({ name: `r${index}`, action: Action.ALLOW, hosts }));
  return {
    policy: toBinary(PolicySchema, create(PolicySchema, { rules })),
    expectedRevision: undefined,
    requestId: undefined,
  };
}

async function readAllChanges(store: PolicyStore, after: bigint): Promise<{ upserted: string[]; removed: string[] }> {
  const all = { upserted: [] as string[], removed: [] as string[] };
  for (let version = after; ; ) {
    const page = await store.readPolicyChanges(version);
    all.upserted.push(...page.upserted.map(({ sandboxId }) => sandboxId));
    all.removed.push(...page.removedSandboxIds);
    version = page.version;
    if (!page.more) return all;
  }
}

async function readAllEnforcements(store: PolicyStore): Promise<{ position: bigint }> {
  for (let position = 0n; ; ) {
    const page = await store.readEnforcementChanges(position);
    position = page.position;
    if (!page.more) return { position };
  }
}

function reasonOf(error: unknown): unknown {
  return error instanceof Error && "reason" in error ? error.reason : error;
}
