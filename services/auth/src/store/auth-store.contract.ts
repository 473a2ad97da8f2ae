import { randomUUID } from "node:crypto";
import { RevocationKind } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { SandboxScope } from "@sandgate/identity";
import { describe, expect, it } from "vitest";
import { newSandboxId } from "../auth-bench.contract.ts";
import type { SessionRecord } from "../domain/session-record.ts";
import type { Actor, AuthStore } from "./auth-store.ts";

/** A store under test. */
export interface AuthStoreSubject {
  readonly store: AuthStore;
  /** The actions that the audit log has of a sandbox, oldest first. */
  auditedAbout(sandboxId: string): Promise<readonly string[]>;
  /** A store on the same data whose audit log takes nothing. */
  readonly withoutAudit: AuthStore;
}

const now = Date.parse("2026-03-01T12:00:00Z");
const actor: Actor = { principal: "spiffe://t/user/u", peer: "none" };
const organizationId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
const ownerUserId = "0b8f8c0e-1111-4222-8333-444455556666";
const bootstrapHash = "ab".repeat(32);
const bootstrapProof = { kind: "bootstrap", hash: bootstrapHash } as const;

/** What every store of Auth promises. */
export function describeAuthStore(name: string, subject: () => AuthStoreSubject): void {
  const store = () => subject().store;

  const registrationOf = (sandboxId: string, incarnation = 1n) => ({
    sandboxId,
    organizationId,
    name: sandboxId,
    ownerUserId,
    incarnation,
  });
  const scopeOf = (sandboxId: string) => ({ sandboxId, organizationId }) as SandboxScope; // the scope step's part in a test
  let count = 0;
  const sessionOf = (sandboxId: string, over: Partial<SessionRecord> = {}): SessionRecord => {
    count += 1;
    return {
      tokenId: `token-${count}-${sandboxId}`,
      sandboxId,
      organizationId,
      incarnation: 1n,
      keyThumbprint: "k".repeat(43),
      signingKeyId: "s".repeat(43),
      issuedAtMs: now,
      expiresAtMs: now + 900_000,
      certificateDer: new Uint8Array([count]),
      certificateSha256: `${count}`,
      certificateExpiresAtMs: now + 3_600_000,
      ...over,
    };
  };
  const registered = async () => {
    const sandboxId = newSandboxId();
    await store().registerSandbox(registrationOf(sandboxId), now, actor);
    return sandboxId;
  };
  const bootstrapped = async () => {
    const sandboxId = await registered();
    const credential = { sandboxId, incarnation: 1n, hash: bootstrapHash, expiresAtMs: now + 600_000 };
    await store().replaceBootstrap(credential, actor);
    return sandboxId;
  };
  const enrolled = async () => {
    const sandboxId = await bootstrapped();
    const session = sessionOf(sandboxId);
    await enrol(sandboxId, session);
    return { sandboxId, session };
  };
  const enrolPod = (uid: string, sandboxId: string, over: Partial<SessionRecord> = {}) =>
    store().enrol(
      scopeOf(sandboxId),
      { proof: { kind: "pod", uid }, publicKeyDer: new Uint8Array([1]), session: sessionOf(sandboxId, over) },
      now,
      actor,
    );
  const enrol = (sandboxId: string, session: SessionRecord, at = store()) =>
    at.enrol(scopeOf(sandboxId), { proof: bootstrapProof, publicKeyDer: new Uint8Array([1]), session }, now, actor);

  describe(name, () => {
    it("keeps what it was told of a sandbox, by id and by living name", async () => {
      const sandboxId = await registered();
      const found = await store().findSandbox(sandboxId);
      expect(found).toMatchObject({
        sandboxId,
        organizationId,
        ownerUserId,
        incarnation: 1n,
        alive: true,
        trusted: true,
      });
      expect(await store().findSandboxByName(organizationId, sandboxId)).toEqual(found);
      await store().retireSandbox(sandboxId, now, actor);
      expect(await store().findSandboxByName(organizationId, sandboxId)).toBeUndefined();
      expect(await store().findSandbox(sandboxId)).toMatchObject({ alive: false, trusted: false });
      expect(await store().listLivingSandboxIds()).not.toContain(sandboxId);
    });

    it("registers a sandbox once when many do it at the same moment", async () => {
      const sandboxId = newSandboxId();
      const changes = await Promise.all(
        Array.from({ length: 6 }, () => store().registerSandbox(registrationOf(sandboxId), now, actor)),
      );
      expect(changes.map(({ decision }) => decision).sort()).toEqual(["inserted", ...Array(5).fill("unchanged")]);
      expect(await subject().auditedAbout(sandboxId)).toEqual(["sandbox.registered"]);
    });

    it("binds the first key of many at the same moment", async () => {
      const sandboxId = await bootstrapped();
      const decisions = await Promise.all(
        ["a", "b", "c", "d"].map((letter) =>
          enrol(sandboxId, sessionOf(sandboxId, { keyThumbprint: letter.repeat(43) })),
        ),
      );
      expect(decisions.map(({ decision }) => decision).sort()).toEqual(["enrol", "used", "used", "used"]);
    });

    it("G-05 binds a pod to the one incarnation that it enrols, and the incarnation to its key", async () => {
      const [sandboxId, other] = [newSandboxId(), newSandboxId()];
      for (const id of [sandboxId, other]) await store().registerSandbox(registrationOf(id), now, actor);
      const pod = randomUUID();
      const decisionOf = async (...of: Parameters<typeof enrolPod>) => (await enrolPod(...of)).decision;
      expect(await decisionOf(pod, sandboxId)).toBe("enrol");
      expect(await decisionOf(pod, sandboxId)).toBe("enrol");
      expect(await decisionOf(pod, sandboxId, { keyThumbprint: "z".repeat(43) })).toBe("used");
      expect(await decisionOf(randomUUID(), sandboxId, { keyThumbprint: "z".repeat(43) })).toBe("used");
      expect(await decisionOf(pod, other)).toBe("used");
      expect(await decisionOf(randomUUID(), other)).toBe("enrol");
      await store().registerSandbox({ ...registrationOf(sandboxId), incarnation: 2n }, now, actor);
      expect(await decisionOf(pod, sandboxId)).toBe("revoked");
      expect(await decisionOf(pod, sandboxId, { incarnation: 2n })).toBe("used");
      expect(await decisionOf(randomUUID(), sandboxId, { incarnation: 2n })).toBe("enrol");
    });

    it("G-05 lets a pod enrol one of many sandboxes at the same moment", async () => {
      const ids = Array.from({ length: 6 }, newSandboxId);
      for (const id of ids) await store().registerSandbox(registrationOf(id), now, actor);
      const pod = randomUUID();
      const changes = await Promise.all(ids.map((id) => enrolPod(pod, id)));
      expect(changes.map(({ decision }) => decision).sort()).toEqual(["enrol", ...Array(5).fill("used")]);
    });

    it("gives a session one successor, and the same to all", async () => {
      const { sandboxId, session } = await enrolled();
      const changes = await Promise.all(
        Array.from({ length: 4 }, () =>
          store().refresh(scopeOf(sandboxId), { tokenId: session.tokenId, session: sessionOf(sandboxId) }, now, actor),
        ),
      );
      expect(changes.map(({ decision }) => decision).sort()).toEqual(["renew", "repeat", "repeat", "repeat"]);
      expect(new Set(changes.map((change) => change.session.tokenId)).size).toBe(1);
    });

    it("gives back a successor as it was stored", async () => {
      const { sandboxId, session } = await enrolled();
      const successor = sessionOf(sandboxId);
      const refresh = (next: SessionRecord) =>
        store().refresh(scopeOf(sandboxId), { tokenId: session.tokenId, session: next }, now, actor);
      await refresh(successor);
      const repeated = (await refresh(sessionOf(sandboxId))).session;
      expect({ ...repeated, certificateDer: new Uint8Array(repeated.certificateDer) }).toEqual(successor);
    });

    it("takes a count of rejoins once, and revokes when it comes again", async () => {
      const { sandboxId } = await enrolled();
      const rejoin = (rejoinCount: bigint) =>
        store().rejoin({ rejoinCount, session: sessionOf(sandboxId) }, now, actor);
      expect((await rejoin(2n)).decision).toBe("rejoin");
      expect((await rejoin(2n)).decision).toBe("cloned");
      expect((await rejoin(3n)).decision).toBe("refuse");
      expect(await store().findSandbox(sandboxId)).toMatchObject({ alive: true, trusted: false });
    });

    it("keeps the count of rejoins when the same key enrols again", async () => {
      const { sandboxId } = await enrolled();
      await store().rejoin({ rejoinCount: 4n, session: sessionOf(sandboxId) }, now, actor);
      await enrol(sandboxId, sessionOf(sandboxId));
      const again = store().rejoin({ rejoinCount: 4n, session: sessionOf(sandboxId) }, now, actor);
      expect((await again).decision).toBe("cloned");
    });

    it("G-15 ends an incarnation once, and leaves the sandbox in the register", async () => {
      const { sandboxId, session } = await enrolled();
      const { head } = await store().readTrust(0n);
      expect((await store().endIncarnation(sandboxId, 2n, now, actor)).decision).toBe("other_incarnation");
      const { decision, sequence } = await store().endIncarnation(sandboxId, 1n, now, actor);
      expect(decision).toBe("ended");
      expect((await store().endIncarnation(sandboxId, 1n, now, actor)).decision).toBe("unchanged");
      expect((await store().endIncarnation(newSandboxId(), 1n, now, actor)).decision).toBe("absent");
      expect(await store().findSandboxByName(organizationId, sandboxId)).toMatchObject({ alive: true, trusted: false });
      const { events } = await store().readTrust(head);
      expect(events.map(({ subject: about }) => about)).toEqual([
        `${sandboxId}/1`,
        session.certificateSha256,
        sandboxId,
      ]);
      expect(events.at(-1)?.sequence).toBe(sequence);
      expect((await subject().auditedAbout(sandboxId)).at(-1)).toBe("sandbox.ended");
    });

    it("G-31 undoes what cannot be recorded", async () => {
      const sandboxId = await bootstrapped();
      const mute = subject().withoutAudit;
      await expect(mute.retireSandbox(sandboxId, now, actor)).rejects.toThrow();
      await expect(enrol(sandboxId, sessionOf(sandboxId), mute)).rejects.toThrow();
      await expect(mute.revokeSandbox(scopeOf(sandboxId), "", now, actor)).rejects.toThrow();
      await expect(mute.endIncarnation(sandboxId, 1n, now, actor)).rejects.toThrow();
      expect(await store().findSandbox(sandboxId)).toMatchObject({ alive: true, trusted: true, keyThumbprint: "" });
      expect(await store().findEnrolledKey(sandboxId)).toBeUndefined();
    });

    it("G-15 puts every change into the log in its order, and nothing that did not happen", async () => {
      const { head } = await store().readTrust(0n);
      const { sandboxId, session } = await enrolled();
      const scope = scopeOf(sandboxId);
      await store().refresh(scope, { tokenId: session.tokenId, session: sessionOf(sandboxId) }, now, actor);
      await subject()
        .withoutAudit.revokeSandbox(scope, "", now, actor)
        .catch(() => undefined);
      await store().revokeSandbox(scope, "", now, actor);
      const { events } = await store().readTrust(head);
      const told = events
        .filter(({ subject: about }) => about.includes(sandboxId))
        .map((event) => (event.kind === "revocation" ? event.revocationKind : event.kind));
      expect(told).toEqual(["sandbox", RevocationKind.SUPERSEDED_TOKEN, RevocationKind.INCARNATION, "sandbox"]);
      const sequences = events.map(({ sequence }) => sequence);
      expect(sequences).toEqual(events.map((_, index) => head + BigInt(index) + 1n));
    });

    it("opens with the live revocations, or with what came after", async () => {
      const { sandboxId } = await enrolled();
      const { head } = await store().readTrust(0n);
      await store().revokeSandbox(scopeOf(sandboxId), "", now, actor);
      const opening = await store().openTrust(head, now);
      if (opening.kind !== "changes") throw new Error("no changes");
      expect(opening.events.map(({ sequence }) => sequence)).toContain(head + 1n);
      const whole = await store().openTrust(0n, now);
      if (whole.kind !== "snapshot") throw new Error("no snapshot");
      expect(whole.revocations.map((event) => event.subject)).toContain(`${sandboxId}/1`);
      expect(whole.sequence).toBe(opening.sequence);
    });

    it("forgets what nothing depends on any more", async () => {
      const { sandboxId, session } = await enrolled();
      await store().prune(now + 4 * 3_600_000);
      const renewal = { tokenId: session.tokenId, session: sessionOf(sandboxId) };
      expect((await store().refresh(scopeOf(sandboxId), renewal, now, actor)).decision).toBe("revoked");
    });

    it("G-04 makes users what the configuration says, and ends the sessions of those who changed", async () => {
      const ada = {
        userId: crypto.randomUUID(),
        name: "Ada",
        organizationId,
        organizationName: "Example",
        role: Role.ADMIN,
      };
      const bob = { ...ada, userId: crypto.randomUUID(), name: "Bob", role: Role.VIEWER };
      const { head: start } = await store().readTrust(0n);
      await store().replaceOperators([ada, bob], now, actor);
      const { head, events: first } = await store().readTrust(start);
      // nobody new has a session that could be revoked: one made within the same second would be refused
      expect(first.filter((event) => event.kind === "revocation")).toEqual([]);
      await store().replaceOperators([ada, bob], now, actor);
      expect((await store().readTrust(0n)).head).toBe(head);

      await store().replaceOperators([{ ...ada, role: Role.VIEWER }], now, actor);
      expect(await store().findUser(ada.userId)).toMatchObject({ role: Role.VIEWER, active: true });
      expect(await store().findUser(bob.userId)).toMatchObject({ active: false });
      const { events } = await store().readTrust(head);
      const revoked = events.filter((event) => event.kind === "revocation").map((event) => event.subject);
      expect(revoked.sort()).toEqual([ada.userId, bob.userId].sort());

      await store().replaceOperators([ada, bob], now, actor);
      expect(await store().findUser(bob.userId)).toMatchObject({ active: true });
    });
  });
}
