import { createHash } from "node:crypto";
import { grantSandboxScope, type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";
import { beforeAll, describe, expect, it } from "vitest";
import type { Phase } from "../domain/phase.ts";
import type { Quota } from "../domain/quota.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { LifecycleEvent, NewSandbox, SandboxLedger, SandboxStore } from "./sandbox-store.ts";

/** What a store's test hands to the contract. */
export interface StoreUnderTest {
  readonly store: SandboxStore & SandboxLedger;
  /** Another process's store on the same data. */
  readonly other: SandboxStore & SandboxLedger;
  /** The actions of the audit log that are about a sandbox, oldest first. */
  readonly auditedActions: (sandboxId: string) => Promise<readonly string[]>;
}

const organizationId = "0d9a0000-0000-4000-8000-000000000001";
const foreignId = "0d9a0000-0000-4000-8000-000000000002";
const nowMs = Date.UTC(2030, 0, 1);

/** The proof that a call may act on a sandbox, as the scope step gives it. */
function scopeOf(sandboxId: string, organization = organizationId): SandboxScope {
  const values = new Map<unknown, unknown>();
  const call = {
    get: (key: unknown) => values.get(key),
    set: (key: unknown, value: unknown) => values.set(key, value),
  } as unknown as Call; // the two methods are all that granting needs
  grantSandboxScope(call, { sandboxId, organizationId: organization });
  return sandboxScopeOf(call);
}

const event = (action: string): LifecycleEvent => ({
  action,
  principal: "spiffe://sandgate.local/user/u",
  peer: "none",
});
const encode = (record: SandboxRecord) =>
  new TextEncoder().encode(`${record.id} ${record.desiredPhase} ${record.version}`);
const hashOf = (content: string) => createHash("sha256").update(content).digest();
const reasonOf = (error: unknown) => (error instanceof ServiceError ? error.reason : error);

let counter = 0;
function newSandbox(part: Partial<NewSandbox> = {}): NewSandbox {
  counter += 1;
  const digits = counter
    .toString(26)
    .padStart(20, "a")
    .replace(/[0-9]/g, (digit) => "qrstuvwxyz"[Number(digit)] ?? "z");
  return {
    id: `sbx-${digits.slice(-20)}`,
    organizationId,
    name: `web-${counter}`,
    ownerUserId: "0d9a0000-0000-4000-8000-00000000000a",
    labels: {},
    spec: {
      command: ["sh", "-c", "exit 0"],
      environment: { A: "1" },
      limits: { processMemoryBytes: 2 ** 32, processes: 256, openFiles: 4096, fileSizeBytes: 2 ** 30 },
      ttlMs: undefined,
      idleTimeoutMs: undefined,
      idleAction: "STOP",
    },
    policy: new Uint8Array([1, 2, 3]),
    policyRequestId: crypto.randomUUID(),
    createTimeMs: nowMs,
    ...part,
  };
}

/** What every store of sandboxes promises. */
export function describeSandboxStore(create: () => Promise<StoreUnderTest>): void {
  let store: StoreUnderTest["store"];
  let other: StoreUnderTest["other"];
  let auditedActions: StoreUnderTest["auditedActions"];
  beforeAll(async () => {
    ({ store, other, auditedActions } = await create());
  });

  async function insert(part: Partial<NewSandbox> = {}, requestId: string = crypto.randomUUID(), content = "x") {
    const sandbox = newSandbox(part);
    const answer = await store.create({
      sandbox,
      request: {
        organizationId: sandbox.organizationId,
        method: "CreateSandbox",
        requestId,
        contentHash: hashOf(content),
      },
      answerOf: encode,
      event: event("sandbox.created"),
    });
    return { sandbox, answer: new TextDecoder().decode(answer), requestId };
  }
  const remove = (sandboxId: string, requestId: string = crypto.randomUUID()) =>
    store.requestDeletion(scopeOf(sandboxId), {
      request: { organizationId, method: "DeleteSandbox", requestId, contentHash: hashOf(sandboxId) },
      answerOf: encode,
      event: event("sandbox.deletion_requested"),
      nowMs,
    });
  const wish = (
    kind: "requestStop" | "requestStart",
    sandboxId: string,
    requestId: string = crypto.randomUUID(),
    organization = organizationId,
  ) =>
    store[kind](scopeOf(sandboxId, organization), {
      request: { organizationId, method: kind, requestId, contentHash: hashOf(sandboxId) },
      answerOf: encode,
      event: event(kind),
      nowMs: nowMs + 1,
    });
  async function advance(sandboxId: string, part: Partial<SandboxRecord>, at = nowMs): Promise<SandboxRecord> {
    const record = await store.get(sandboxId);
    if (record === undefined) throw new Error("there is no such row");
    const stored = await store.replace({ ...record, ...part }, { event: undefined, nowMs: at });
    if (stored === undefined) throw new Error("the row was changed by someone else");
    return stored;
  }

  describe("create", () => {
    it("records a sandbox as PENDING, with its audit event", async () => {
      const { sandbox } = await insert({ spec: { ...newSandbox().spec, ttlMs: 60_000 } });
      expect(await store.find(scopeOf(sandbox.id))).toEqual({
        id: sandbox.id,
        organizationId,
        name: sandbox.name,
        ownerUserId: sandbox.ownerUserId,
        labels: {},
        spec: sandbox.spec,
        policyRequestId: sandbox.policyRequestId,
        desiredPhase: "READY",
        endCause: undefined,
        phase: "PENDING",
        incarnation: 1n,
        version: 1n,
        registered: false,
        policyRevision: undefined,
        confinement: "unproved",
        supervisorSeenMs: undefined,
        failure: undefined,
        mainExit: undefined,
        isolationGaps: [],
        waitingFor: [],
        createTimeMs: nowMs,
        startTimeMs: nowMs,
        phaseTimeMs: nowMs,
        readyTimeMs: undefined,
        expireTimeMs: nowMs + 60_000,
        activeTimeMs: undefined,
      });
      expect(await store.getFirstPolicy(sandbox.id)).toEqual(Buffer.from([1, 2, 3]));
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created"]);
    });

    it("answers a repeated request as the first time and records nothing more", async () => {
      const first = await insert();
      const second = await insert({ name: "another" }, first.requestId);
      expect(second.answer).toBe(first.answer);
      expect(await store.get(second.sandbox.id)).toBeUndefined();
      expect(await auditedActions(second.sandbox.id)).toEqual([]);
    });

    it("records one sandbox when a request arrives several times at once", async () => {
      const requestId = crypto.randomUUID();
      const all = await Promise.all(Array.from({ length: 5 }, () => insert({}, requestId)));
      expect(new Set(all.map(({ answer }) => answer)).size).toBe(1);
      const living = await store.selectLiving(all.map(({ sandbox }) => sandbox.id));
      expect(living.size).toBe(1);
    });

    it("refuses a request id that was used for another content", async () => {
      const { requestId } = await insert();
      expect(await insert({}, requestId, "y").catch(reasonOf)).toBe("REQUEST_ID_REUSED");
    });

    it("lets every organization use a request id (G-25)", async () => {
      const { requestId } = await insert();
      const { sandbox } = await insert({ organizationId: foreignId }, requestId, "y");
      expect((await store.get(sandbox.id))?.organizationId).toBe(foreignId);
    });

    it("refuses the name of a living sandbox, and only within its organization", async () => {
      const { sandbox } = await insert();
      expect(await insert({ name: sandbox.name }).catch(reasonOf)).toBe("SANDBOX_NAME_TAKEN");
      await insert({ name: sandbox.name, organizationId: foreignId });
      await advance(sandbox.id, { phase: "DELETED" });
      await insert({ name: sandbox.name });
    });
  });

  it("counts what is not DELETED by phase", async () => {
    const before = await store.countByPhase();
    const { sandbox } = await insert();
    const { sandbox: gone } = await insert();
    await advance(sandbox.id, { phase: "READY" });
    await advance(gone.id, { phase: "DELETED" });
    const after = await store.countByPhase();
    expect(after.get("READY")).toBe((before.get("READY") ?? 0) + 1);
    expect(after.get("PENDING")).toBe(before.get("PENDING"));
    expect(after.has("DELETED")).toBe(false);
  });

  describe("requestDeletion", () => {
    it("records the wish, once", async () => {
      const { sandbox } = await insert();
      await remove(sandbox.id);
      expect(await store.get(sandbox.id)).toMatchObject({ desiredPhase: "DELETED", phase: "PENDING", version: 2n });
      await remove(sandbox.id);
      expect(await store.get(sandbox.id)).toMatchObject({ version: 2n });
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created", "sandbox.deletion_requested"]);
    });

    it("answers a repeated request as the first time, also when the sandbox is gone", async () => {
      const { sandbox } = await insert();
      const requestId = crypto.randomUUID();
      const first = await remove(sandbox.id, requestId);
      await advance(sandbox.id, { phase: "DELETED" });
      expect(Buffer.from(await remove(sandbox.id, requestId))).toEqual(Buffer.from(first));
    });

    it("does not know a sandbox of another organization (G-25)", async () => {
      const { sandbox } = await insert({ organizationId: foreignId });
      expect(await remove(sandbox.id).catch(reasonOf)).toBe("SANDBOX_NOT_FOUND");
      expect(await store.get(sandbox.id)).toMatchObject({ desiredPhase: "READY" });
    });
  });

  describe("requestStop and requestStart", () => {
    it("end the incarnation first, whatever is asked for next, and are recorded once", async () => {
      const { sandbox } = await insert();
      await advance(sandbox.id, { phase: "READY" });
      await wish("requestStop", sandbox.id);
      const stopping = { phase: "STOPPING", phaseTimeMs: nowMs + 1, waitingFor: [], version: 3n };
      expect(await store.get(sandbox.id)).toMatchObject({
        ...stopping,
        ...{ desiredPhase: "STOPPED", endCause: "REQUESTED" },
      });
      await wish("requestStop", sandbox.id);
      expect(await store.get(sandbox.id)).toMatchObject({ version: 3n });
      await wish("requestStart", sandbox.id);
      expect(await store.get(sandbox.id)).toMatchObject({
        ...{ phase: "STOPPING", desiredPhase: "READY", endCause: undefined, version: 4n },
      });
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created", "requestStop", "requestStart"]);
    });

    it("answer a repeated request as the first time (A01)", async () => {
      const { sandbox } = await insert();
      const requestId = crypto.randomUUID();
      const first = await wish("requestStop", sandbox.id, requestId);
      await wish("requestStart", sandbox.id);
      expect(Buffer.from(await wish("requestStop", sandbox.id, requestId))).toEqual(Buffer.from(first));
      expect(await store.get(sandbox.id)).toMatchObject({ desiredPhase: "READY" });
    });

    it("refuse one that is being removed, one that was revoked by hand and one of another organization", async () => {
      const { sandbox } = await insert();
      expect(await wish("requestStop", sandbox.id, undefined, foreignId).catch(reasonOf)).toBe("SANDBOX_NOT_FOUND");
      const failure = { stage: "identity", fault: "revoked", retriable: false, nextCommand: "" } as const;
      await advance(sandbox.id, { phase: "FAILED", failure });
      expect(await wish("requestStart", sandbox.id).catch(reasonOf)).toBe("SANDBOX_REVOKED");
      const requestId = crypto.randomUUID();
      await remove(sandbox.id);
      expect(await wish("requestStart", sandbox.id, requestId).catch(reasonOf)).toBe("SANDBOX_DELETING");
      expect(await wish("requestStop", sandbox.id, requestId).catch(reasonOf)).toBe("SANDBOX_DELETING");
    });

    it("have a STOPPED sandbox that is to be deleted stopped for good first", async () => {
      const { sandbox } = await insert({ spec: { ...newSandbox().spec, ttlMs: 1 } });
      const { sandbox: other } = await insert();
      for (const { id } of [sandbox, other]) await advance(id, { phase: "STOPPED" });
      await remove(other.id);
      await store.expire({ event: event("sandbox.expired"), nowMs: nowMs + 2, limit: 100 });
      for (const [{ id }, endCause] of [[sandbox, "EXPIRED"] as const, [other, "REQUESTED"] as const])
        expect(await store.get(id)).toMatchObject({ phase: "STOPPING", desiredPhase: "DELETED", endCause });
    });
  });

  describe("a quota", () => {
    const fill = (organization: string, quota: Quota, by = store, part: Partial<NewSandbox> = {}) => {
      const sandbox = newSandbox({ organizationId: organization, ...part });
      const request = { organizationId: organization, method: "CreateSandbox", requestId: crypto.randomUUID() };
      return by.create({
        sandbox,
        request: { ...request, contentHash: hashOf("x") },
        answerOf: (record) => new TextEncoder().encode(record.id),
        event: event("sandbox.created"),
        quota,
      });
    };
    const startAgain = (sandboxId: string, organization: string, quota: Quota, by = store) =>
      by.requestStart(scopeOf(sandboxId, organization), {
        request: {
          organizationId: organization,
          method: "s",
          requestId: crypto.randomUUID(),
          contentHash: hashOf("x"),
        },
        answerOf: encode,
        event: event("start"),
        nowMs,
        quota,
      });

    it("is held by two processes that create at the same time", async () => {
      const organization = crypto.randomUUID();
      const all = await Promise.allSettled(
        Array.from({ length: 12 }, (_, index) =>
          fill(organization, { running_sandboxes: 5 }, index % 2 ? store : other),
        ),
      );
      expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
      expect(await store.measureUsage(organization)).toEqual({
        sandboxes: 5,
        running_sandboxes: 5,
        memory_bytes: 5 * 2 ** 32,
        processes: 5 * 256,
      });
      expect(await store.measureUsage(crypto.randomUUID())).toMatchObject({ sandboxes: 0, memory_bytes: 0 });
    });

    it("is held by two processes that start stopped sandboxes at the same time", async () => {
      const organization = crypto.randomUUID();
      const decode = (answer: Uint8Array) => new TextDecoder().decode(answer);
      const ids = await Promise.all([1, 2, 3, 4].map(async () => decode(await fill(organization, {}))));
      for (const id of ids) await advance(id, { phase: "COMPLETED" });
      const all = await Promise.allSettled(
        ids.map((id, index) => startAgain(id, organization, { running_sandboxes: 2 }, index % 2 ? store : other)),
      );
      expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
      const started = ids.find((_, index) => all[index]?.status === "fulfilled") ?? "";
      await startAgain(started, organization, { running_sandboxes: 2 }); // it counts already
    });

    it("says which, how much it is and how much of it is used, and the request can be made again later", async () => {
      const organization = crypto.randomUUID();
      const first = new TextDecoder().decode(await fill(organization, {}));
      await expect(fill(organization, { memory_bytes: 2 ** 32 + 5 })).rejects.toMatchObject({
        reason: "QUOTA_EXCEEDED",
        metadata: { quota: "memory_bytes", limit: String(2 ** 32 + 5), used: String(2 ** 32), added: String(2 ** 32) },
      });
      const requestId = crypto.randomUUID();
      const request = { organizationId: organization, method: "CreateSandbox", requestId, contentHash: hashOf("x") };
      const again = () =>
        store.create({
          ...{ sandbox: newSandbox({ organizationId: organization }), request, answerOf: encode },
          ...{ event: event("sandbox.created"), quota: { running_sandboxes: 1 } },
        });
      expect(await again().catch(reasonOf)).toBe("QUOTA_EXCEEDED");
      await advance(first, { phase: "STOPPED", desiredPhase: "STOPPED" });
      expect(await again().catch(reasonOf)).toBe("QUOTA_EXCEEDED"); // it is to be READY
      await store.requestStop(scopeOf(first, organization), {
        request: { organizationId: organization, method: "s", requestId, contentHash: hashOf("x") },
        ...{ answerOf: encode, event: event("stop"), nowMs },
      });
      await again();
    });
  });

  describe("beginIncarnation", () => {
    it("forgets everything that was true of the incarnation before", async () => {
      const { sandbox } = await insert();
      const failure = { stage: "run", fault: "x", retriable: true, nextCommand: "" } as const;
      await store.recordConfinement(scopeOf(sandbox.id), {
        ...{ incarnation: 1n, confinement: "broken", event: event("e"), nowMs },
      });
      await store.recordExit(scopeOf(sandbox.id), {
        ...{ incarnation: 1n, exit: { kind: "exited", code: 3 }, event: event("e"), nowMs },
      });
      await advance(sandbox.id, { phase: "READY", registered: true, policyRevision: 4n, isolationGaps: ["cpu"] });
      const stopped = await advance(sandbox.id, { phase: "STOPPED", failure });
      const begun = await store.beginIncarnation(stopped, { event: event("begun"), nowMs: nowMs + 7 });
      expect(begun).toEqual(await store.get(sandbox.id));
      expect(begun).toEqual({
        ...stopped,
        phase: "PENDING",
        incarnation: 2n,
        version: stopped.version + 1n,
        registered: false,
        confinement: "unproved",
        supervisorSeenMs: undefined,
        failure: undefined,
        mainExit: undefined,
        isolationGaps: [],
        startTimeMs: nowMs + 7,
        phaseTimeMs: nowMs + 7,
        readyTimeMs: undefined,
      });
      const old = { incarnation: 1n, confinement: "proved", event: event("e"), nowMs } as const;
      expect(await store.recordConfinement(scopeOf(sandbox.id), old)).toBeUndefined();
      expect(await store.recordSupervisor(scopeOf(sandbox.id), { ...old, activeMs: nowMs })).toBeUndefined();
    });

    it("is done once, and only where the sandbox is as it was seen, and STOPPED", async () => {
      const { sandbox } = await insert();
      const running = await advance(sandbox.id, { phase: "READY" });
      const begin = (record: SandboxRecord) => store.beginIncarnation(record, { event: event("begun"), nowMs });
      expect(await begin(running)).toBeUndefined();
      const stopped = await advance(sandbox.id, { phase: "STOPPED" });
      const all = await Promise.all([begin(stopped), begin(stopped)]);
      expect(all.filter((record) => record !== undefined)).toHaveLength(1);
      expect((await store.get(sandbox.id))?.incarnation).toBe(2n);
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created", "begun"]);
    });
  });

  describe("a scope", () => {
    it("of another organization finds, changes and reads nothing (G-20, G-25)", async () => {
      const { sandbox } = await insert();
      const foreign = scopeOf(sandbox.id, foreignId);
      const piece = { incarnation: 1n, offset: 0n, data: Buffer.from("x") };
      await store.appendLog(scopeOf(sandbox.id), piece);
      expect(await store.find(foreign)).toBeUndefined();
      expect(await store.readChanges(foreign, { afterVersion: 0n, limit: 9 })).toEqual([]);
      expect(await store.recordActivity(foreign, { incarnation: 1n, nowMs })).toBe(false);
      expect(await store.recordSupervisor(foreign, { incarnation: 1n, activeMs: nowMs, nowMs })).toBeUndefined();
      expect(
        await store.recordConfinement(foreign, { incarnation: 1n, confinement: "proved", event: event("e"), nowMs }),
      ).toBeUndefined();
      expect(
        await store.recordExit(foreign, {
          incarnation: 1n,
          exit: { kind: "exited", code: 0 },
          event: event("e"),
          nowMs,
        }),
      ).toBeUndefined();
      expect(await store.appendLog(foreign, piece).catch(reasonOf)).toBe("SANDBOX_CHANGED");
      expect((await store.readLog(foreign, { offset: 0n, limitBytes: 10 })).data).toHaveLength(0);
      expect(await store.findLogEnd(foreign)).toBe(0n);
      expect(await store.get(sandbox.id)).toMatchObject({ version: 1n, confinement: "unproved" });
    });
  });

  describe("list", () => {
    const everybodys = { labels: {}, ownerUserId: undefined };

    it("pages newest first without a gap, also among equal times", async () => {
      const organization = crypto.randomUUID();
      const ids: string[] = [];
      for (const offset of [0, 1, 1, 1, 2]) {
        const { sandbox } = await insert({ organizationId: organization, createTimeMs: nowMs + offset });
        ids.push(sandbox.id);
      }
      const seen: string[] = [];
      for (let after: { createTimeMs: number; id: string } | undefined; ; ) {
        const page = await store.list({
          ...everybodys,
          organizationId: organization,
          phases: ["PENDING"],
          after,
          limit: 2,
        });
        seen.push(...page.map(({ id }) => id));
        after = page.at(-1);
        if (page.length < 2) break;
      }
      expect([...seen].sort()).toEqual([...ids].sort());
      expect(seen[0]).toBe(ids[4]);
      expect(seen[4]).toBe(ids[0]);
    });

    it("keeps to the phases and the organization that are asked for (G-25)", async () => {
      const organization = crypto.randomUUID();
      const { sandbox } = await insert({ organizationId: organization });
      const { sandbox: ended } = await insert({ organizationId: organization });
      await advance(ended.id, { phase: "DELETED" });
      const list = async (phases: readonly Phase[]) =>
        (await store.list({ ...everybodys, organizationId: organization, phases, after: undefined, limit: 9 })).map(
          ({ id }) => id,
        );
      expect(await list(["PENDING", "READY"])).toEqual([sandbox.id]);
      expect(await list(["DELETED"])).toEqual([ended.id]);
    });
  });

  describe("list with a filter", () => {
    it.each([
      ["a label", { labels: { team: "web" }, ownerUserId: undefined }, [0, 1, 2, 4]],
      ["all of several labels", { labels: { team: "web", tier: "" }, ownerUserId: undefined }, [1, 4]],
      ["a value that only another key has", { labels: { tier: "web" }, ownerUserId: undefined }, []],
      ["an owner", { labels: {}, ownerUserId: "0d9a0000-0000-4000-8000-00000000000b" }, [2, 3]],
      ["both", { labels: { team: "web" }, ownerUserId: "0d9a0000-0000-4000-8000-00000000000b" }, [2]],
    ])("%s: pages without a gap or a repetition, newest first", async (_, filter, expected) => {
      const organization = crypto.randomUUID();
      const ids: string[] = [];
      for (const [labels, owner] of [
        [{ team: "web" }, "a"],
        [{ team: "web", tier: "" }, "a"],
        [{ team: "web" }, "b"],
        [{ team: "db" }, "b"],
        [{ tier: "", team: "web" }, "a"],
      ] as const) {
        const ownerUserId = `0d9a0000-0000-4000-8000-00000000000${owner}`;
        const createTimeMs = nowMs - (ids.length >> 1); // pairs have equal times
        ids.push((await insert({ organizationId: organization, labels, ownerUserId, createTimeMs })).sandbox.id);
      }
      const seen: number[] = [];
      for (let after: { createTimeMs: number; id: string } | undefined; ; ) {
        const page = await store.list({
          organizationId: organization,
          phases: ["PENDING"],
          ...filter,
          after,
          limit: 1,
        });
        seen.push(...page.map(({ id }) => ids.indexOf(id)));
        after = page.at(-1);
        if (page.length === 0) break;
      }
      expect([...seen].sort()).toEqual(expected);
      expect(seen.map((index) => index >> 1)).toEqual(seen.map((index) => index >> 1).sort());
    });
  });

  describe("what a supervisor tells", () => {
    it("is recorded for the present incarnation alone", async () => {
      const { sandbox } = await insert();
      const scope = scopeOf(sandbox.id);
      await advance(sandbox.id, { phase: "STARTING", waitingFor: ["supervisor", "confinement"] });
      expect(await store.recordSupervisor(scope, { incarnation: 2n, activeMs: nowMs, nowMs })).toBeUndefined();
      expect(await store.recordSupervisor(scope, { incarnation: 1n, activeMs: nowMs - 3, nowMs })).toMatchObject({
        supervisorSeenMs: nowMs,
        waitingFor: ["confinement"],
        version: 3n,
      });
      const proved = { confinement: "proved", event: event("proved"), nowMs } as const;
      expect(await store.recordConfinement(scope, { ...proved, incarnation: 2n })).toBeUndefined();
      expect(await store.recordConfinement(scope, { ...proved, incarnation: 1n })).toMatchObject({
        confinement: "proved",
        waitingFor: [],
        version: 4n,
      });
    });

    it("again changes nothing", async () => {
      const { sandbox } = await insert();
      const report = {
        incarnation: 1n,
        confinement: "proved",
        event: event("sandbox.confinement_proved"),
        nowMs,
      } as const;
      await store.recordConfinement(scopeOf(sandbox.id), report);
      expect(await store.recordConfinement(scopeOf(sandbox.id), report)).toMatchObject({ version: 2n });
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created", "sandbox.confinement_proved"]);
    });

    it("cannot mend a confinement that was found broken", async () => {
      const { sandbox } = await insert();
      const report = { incarnation: 1n, event: event("confinement"), nowMs };
      await store.recordConfinement(scopeOf(sandbox.id), { ...report, confinement: "broken" });
      await store.recordConfinement(scopeOf(sandbox.id), { ...report, confinement: "proved" });
      expect((await store.get(sandbox.id))?.confinement).toBe("broken");
    });

    it("counts the first end of the main process", async () => {
      const { sandbox } = await insert();
      const report = (code: number) =>
        store.recordExit(scopeOf(sandbox.id), {
          incarnation: 1n,
          exit: { kind: "exited", code },
          event: event("sandbox.main_exited"),
          nowMs,
        });
      expect(await report(3)).toMatchObject({ mainExit: { kind: "exited", code: 3 }, version: 2n });
      expect(await report(0)).toMatchObject({ mainExit: { kind: "exited", code: 3 }, version: 2n });
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created", "sandbox.main_exited"]);
    });

    it("can be refreshed for many without a change that watchers see", async () => {
      const { sandbox } = await insert();
      const heard = (incarnation: bigint, heardMs: number, activeMs: number) =>
        store.touchSupervisors([{ sandboxId: sandbox.id, incarnation, heardMs, activeMs }]);
      await heard(1n, nowMs + 5, nowMs + 2);
      await heard(1n, nowMs + 4, nowMs + 1); // what is older takes nothing back
      await heard(2n, nowMs + 9, nowMs + 9);
      expect(await store.get(sandbox.id)).toMatchObject({ activeTimeMs: nowMs + 2 });
      expect(await store.get(sandbox.id)).toMatchObject({ supervisorSeenMs: nowMs + 5, version: 1n });
    });
  });

  describe("output", () => {
    const append = (sandboxId: string, offset: number, text: string) =>
      store.appendLog(scopeOf(sandboxId), { incarnation: 1n, offset: BigInt(offset), data: Buffer.from(text) });
    it("of a further incarnation goes on behind that of the ones before, and counts its own bytes", async () => {
      const { sandbox } = await insert();
      await append(sandbox.id, 0, "first\n");
      const stopped = await advance(sandbox.id, { phase: "STOPPED" });
      await store.beginIncarnation(stopped, { event: event("begun"), nowMs });
      const own = (offset: number, text: string, incarnation = 2n) =>
        store.appendLog(scopeOf(sandbox.id), { incarnation, offset: BigInt(offset), data: Buffer.from(text) });
      expect(await store.findOwnLogEnd(scopeOf(sandbox.id))).toBe(0n);
      expect(await own(6, "late", 1n).catch(reasonOf)).toBe("SANDBOX_CHANGED");
      expect(await own(0, "second")).toBe(6n);
      expect(await own(0, "second")).toBe(6n);
      expect(await own(4, "nd\n")).toBe(7n);
      await expect(own(9, "x")).rejects.toMatchObject({ metadata: { stored_offset: "7" } });
      expect(await read(sandbox.id, 0)).toEqual([0, "first\nsecond\n", 13]);
      expect(await store.findOwnLogEnd(scopeOf(sandbox.id))).toBe(7n);
    });

    const read = async (sandboxId: string, offset: number, limitBytes = 1000) => {
      const piece = await store.readLog(scopeOf(sandboxId), { offset: BigInt(offset), limitBytes });
      return [Number(piece.offset), Buffer.from(piece.data).toString(), Number(piece.endOffset)];
    };

    it("is stored once, however often and in whatever pieces it is pushed again", async () => {
      const { sandbox } = await insert();
      expect(await append(sandbox.id, 0, "hello")).toBe(5n);
      expect(await append(sandbox.id, 0, "hello")).toBe(5n);
      expect(await append(sandbox.id, 3, "lo world")).toBe(11n);
      expect(await append(sandbox.id, 2, "llo")).toBe(11n);
      expect(await read(sandbox.id, 0)).toEqual([0, "hello world", 11]);
      expect(await store.findLogEnd(scopeOf(sandbox.id))).toBe(11n);
    });

    it("is refused when it leaves a gap or is of another incarnation", async () => {
      const { sandbox } = await insert();
      const refused = await append(sandbox.id, 1, "x").catch((error: unknown) => error);
      expect(refused).toMatchObject({ reason: "REQUEST_INVALID", metadata: { field: "offset", stored_offset: "0" } });
      const piece = { incarnation: 2n, offset: 0n, data: Buffer.from("x") };
      expect(await store.appendLog(scopeOf(sandbox.id), piece).catch(reasonOf)).toBe("SANDBOX_CHANGED");
    });

    it("is read from any byte", async () => {
      const { sandbox } = await insert();
      await append(sandbox.id, 0, "a".repeat(20_000));
      await append(sandbox.id, 20_000, "b".repeat(20_000));
      expect(await read(sandbox.id, 19_998, 4)).toEqual([19_998, "aabb", 40_000]);
      expect(await read(sandbox.id, 39_999)).toEqual([39_999, "b", 40_000]);
      expect(await read(sandbox.id, 40_000)).toEqual([40_000, "", 40_000]);
      expect(await read(sandbox.id, 50_000)).toEqual([40_000, "", 40_000]);
    });

    it("is kept up to 16 MiB, without the oldest", async () => {
      const { sandbox } = await insert();
      const mebibyte = 1024 * 1024;
      for (let index = 0; index < 18; index += 1)
        await append(sandbox.id, index * mebibyte, String(index % 10).repeat(mebibyte));
      const [offset, text, end] = await read(sandbox.id, 0, 3);
      expect([offset, text, end]).toEqual([2 * mebibyte, "222", 18 * mebibyte]);
    });

    it("is forgotten with the sandbox", async () => {
      const { sandbox } = await insert();
      await append(sandbox.id, 0, "hello");
      await advance(sandbox.id, { phase: "DELETED" });
      expect((await store.readLog(scopeOf(sandbox.id), { offset: 0n, limitBytes: 9 })).data).toHaveLength(0);
      expect(await append(sandbox.id, 5, "x").catch(reasonOf)).toBe("SANDBOX_CHANGED");
    });
  });

  describe("replace", () => {
    it("writes what the reconciler found, with the times of its phases", async () => {
      const { sandbox } = await insert();
      await advance(sandbox.id, { phase: "PROVISIONING", registered: true, policyRevision: 1n }, nowMs + 1);
      const ready = await advance(sandbox.id, { phase: "READY", isolationGaps: ["cpu"] }, nowMs + 2);
      expect(ready).toMatchObject({
        registered: true,
        policyRevision: 1n,
        readyTimeMs: nowMs + 2,
        phaseTimeMs: nowMs + 2,
      });
      await advance(sandbox.id, { phase: "STARTING", waitingFor: ["supervisor"] }, nowMs + 3);
      expect(await advance(sandbox.id, { phase: "READY", waitingFor: [] }, nowMs + 4)).toMatchObject({
        readyTimeMs: nowMs + 2,
      });
    });

    it("changes nothing when the row was changed by someone else", async () => {
      const { sandbox } = await insert();
      const record = await store.get(sandbox.id);
      await remove(sandbox.id);
      if (record === undefined) throw new Error("there is no such row");
      const stale = await store.replace({ ...record, phase: "PROVISIONING" }, { event: event("sandbox.ready"), nowMs });
      expect(stale).toBeUndefined();
      expect(await store.get(sandbox.id)).toMatchObject({ phase: "PENDING", version: 2n });
      expect(await auditedActions(sandbox.id)).not.toContain("sandbox.ready");
    });
  });

  describe("what the sweep asks for", () => {
    it("finds the living", async () => {
      const { sandbox } = await insert();
      const { sandbox: gone } = await insert();
      await advance(gone.id, { phase: "DELETED" });
      const living = (await store.listLiving()).map(({ id }) => id);
      expect(living).toContain(sandbox.id);
      expect(living).not.toContain(gone.id);
      expect(await store.selectLiving([sandbox.id, gone.id, "sbx-77777777777777777777"])).toEqual(
        new Set([sandbox.id]),
      );
    });

    it("ends those whose time is over, once", async () => {
      const spec = { ...newSandbox().spec, ttlMs: 1000 };
      const { sandbox } = await insert({ spec, createTimeMs: nowMs - 5000 });
      const { sandbox: later } = await insert({ spec, createTimeMs: nowMs });
      const expire = () => store.expire({ event: event("sandbox.expired"), nowMs, limit: 100 });
      expect(await expire()).toEqual([sandbox.id]);
      expect(await expire()).toEqual([]);
      expect(await store.get(sandbox.id)).toMatchObject({ desiredPhase: "DELETED", version: 2n });
      expect(await store.get(later.id)).toMatchObject({ desiredPhase: "READY" });
      expect(await auditedActions(sandbox.id)).toEqual(["sandbox.created", "sandbox.expired"]);
    });

    it("forgets old answers and old DELETED sandboxes, and nothing living", async () => {
      const { sandbox } = await insert({ createTimeMs: 1000 });
      const { sandbox: gone, requestId } = await insert({ createTimeMs: 1000 });
      await advance(gone.id, { phase: "DELETED" }, 2000);
      await store.prune(3000);
      expect(await store.get(gone.id)).toBeUndefined();
      expect(await store.get(sandbox.id)).toBeDefined();
      const { sandbox: again } = await insert({}, requestId, "something else");
      expect(await store.get(again.id)).toBeDefined();
    });
  });

  describe("tryLock", () => {
    it("gives a sandbox to one process and one step at a time", async () => {
      const { sandbox } = await insert();
      const lock = await store.tryLock(sandbox.id);
      expect(lock).toBeDefined();
      expect(await store.tryLock(sandbox.id)).toBeUndefined();
      expect(await other.tryLock(sandbox.id)).toBeUndefined();
      await lock?.release();
      const second = await other.tryLock(sandbox.id);
      expect(second).toBeDefined();
      expect(await store.tryLock(sandbox.id)).toBeUndefined();
      await second?.release();
    });

    it("gives different sandboxes to different processes", async () => {
      const [{ sandbox: first }, { sandbox: second }] = [await insert(), await insert()];
      const locks = await Promise.all([store.tryLock(first.id), other.tryLock(second.id)]);
      expect(locks).not.toContain(undefined);
      await Promise.all(locks.map((lock) => lock?.release()));
    });
  });
}
