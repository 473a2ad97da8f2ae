import { RevocationKind } from "@sandgate/api/auth";
import { describe, expect, it } from "vitest";
import { currentKey, isPublished, stateOfKey, waitingKey } from "../domain/signing-key.ts";
import type { TrustEvent } from "../domain/trust-change.ts";
import type { KeyActor, SigningKeyStore } from "./signing-key-store.ts";

/** A store under test, with nothing in it, whose keys are published for 10 s before they sign and retired after 100 s. */
export interface SigningKeyStoreSubject {
  readonly store: SigningKeyStore;
  /** The change log of trust. */
  trustEvents(): Promise<readonly TrustEvent[]>;
  /** The actions that the audit log has, oldest first. */
  audited(): Promise<readonly string[]>;
  /** A store on the same data whose audit log takes nothing. */
  readonly withoutAudit: SigningKeyStore;
}

const start = Date.parse("2026-03-01T12:00:00Z");
const actor: KeyActor = { principal: "spiffe://t/user/u", peer: "none", organizationId: "" };
const both = { algorithms: ["EdDSA", "ES256"], minimumAgeMs: 0 };

/** What every store of signing keys promises. */
export function describeSigningKeyStore(name: string, create: () => Promise<SigningKeyStoreSubject>): void {
  const started = async () => {
    const subject = await create();
    const algorithms = ["EdDSA", "ES256"].map((algorithm) => ({ algorithm, first: undefined }));
    const ensure = (now: number) => subject.store.ensure(algorithms, now, actor);
    await ensure(start);
    const kid = async (state: string, now: number) => {
      const keys = await subject.store.list();
      return keys.find((key) => key.algorithm === "EdDSA" && stateOfKey(key, keys, now) === state)?.kid ?? "";
    };
    return { ...subject, ensure, kid };
  };

  describe(`${name} of signing keys`, () => {
    it("G-08 begins with a key that signs and one that waits, of each algorithm, once", async () => {
      const { store, ensure, audited, trustEvents } = await started();
      const before = await store.list();
      expect(before.map((key) => [key.algorithm, stateOfKey(key, before, start)]).sort()).toEqual([
        ["ES256", "current"],
        ["ES256", "next"],
        ["EdDSA", "current"],
        ["EdDSA", "next"],
      ]);
      await ensure(start + 1);
      expect(await store.list()).toEqual(before);
      expect(await audited()).toEqual(["signing_key.published"]);
      expect((await trustEvents()).map(({ kind }) => kind)).toEqual(["signing_keys"]);
    });

    it("G-08 replicas that start together have the same keys", async () => {
      const { store } = await create();
      const algorithms = [{ algorithm: "EdDSA", first: undefined }];
      await Promise.all(Array.from({ length: 5 }, () => store.ensure(algorithms, start, actor)));
      expect(await store.list()).toHaveLength(2);
    });

    it("G-07 takes the first key that it is given, but never again", async () => {
      const { store } = await create();
      const first = { kid: "given", algorithm: "EdDSA", publicKeyDer: new Uint8Array(1), sealedKey: new Uint8Array(1) };
      const ensure = () => store.ensure([{ algorithm: "EdDSA", first }], start, actor);
      await ensure();
      expect(currentKey(await store.list(), "EdDSA", start)?.kid).toBe("given");
      await store.revoke("given", "stolen", start + 1, actor);
      await ensure();
      expect(currentKey(await store.list(), "EdDSA", start + 2)?.kid).not.toBe("given");
    });

    it("G-08 rotates every algorithm, or one", async () => {
      const { store, audited, kid } = await started();
      const waiting = await kid("next", start);
      const { decision } = await store.rotate({ ...both, algorithms: ["EdDSA"] }, start + 20_000, actor);
      expect(decision).toBe("rotated");
      const keys = await store.list();
      expect(currentKey(keys, "EdDSA", start + 20_000)?.kid).toBe(waiting);
      expect(waitingKey(keys, "EdDSA")?.publishedAtMs).toBe(start + 20_000);
      expect(keys.filter(({ algorithm }) => algorithm === "ES256")).toHaveLength(2);
      expect(await audited()).toEqual(["signing_key.published", "signing_key.rotated"]);
    });

    it("G-08 replicas that rotate together rotate once", async () => {
      const { store } = await started();
      const rotations = Array.from({ length: 4 }, () =>
        store.rotate({ ...both, minimumAgeMs: 1_000 }, start + 20_000, actor),
      );
      const decisions = (await Promise.all(rotations)).map(({ decision }) => decision);
      expect(decisions.sort()).toEqual(["rotated", "unchanged", "unchanged", "unchanged"]);
    });

    it("G-08 retires a key when nothing that it signed can be valid, and forgets its private half", async () => {
      const { store, kid } = await started();
      const old = await kid("current", start);
      await store.rotate(both, start + 20_000, actor);
      expect((await store.retire(start + 119_999, actor)).decision).toBe("unchanged");
      expect((await store.retire(start + 120_000, actor)).decision).toBe("retired");
      expect((await store.retire(start + 120_000, actor)).decision).toBe("unchanged");
      const record = (await store.list()).find((key) => key.kid === old);
      expect(record).toMatchObject({ retiredAtMs: start + 120_000, sealedKey: undefined });
    });

    it("G-15 revokes a key at once, forgets its private half and has the next one sign", async () => {
      const { store, kid, trustEvents, audited } = await started();
      const [stolen, waiting] = [await kid("current", start), await kid("next", start)];
      const { decision, sequence } = await store.revoke(stolen, "stolen", start + 1, actor);
      expect(decision).toBe("revoked");
      const keys = await store.list();
      expect(keys.find((key) => key.kid === stolen)).toMatchObject({ revokedAtMs: start + 1, sealedKey: undefined });
      expect(currentKey(keys, "EdDSA", start + 1)?.kid).toBe(waiting);
      expect(keys.filter((key) => key.algorithm === "EdDSA" && isPublished(key))).toHaveLength(2);
      const events = (await trustEvents()).slice(-2);
      expect(events).toMatchObject([
        { kind: "signing_keys" },
        { kind: "revocation", revocationKind: RevocationKind.SIGNING_KEY, subject: stolen, sequence },
      ]);
      expect((await store.revoke(stolen, "", start + 2, actor)).decision).toBe("unchanged");
      expect((await store.revoke("nobody's", "", start + 2, actor)).decision).toBe("absent");
      expect(await audited()).toEqual(["signing_key.published", "signing_key.revoked"]);
    });

    it("G-31 changes nothing that it cannot put into the audit log", async () => {
      const { store, withoutAudit, kid } = await started();
      const before = await store.list();
      const current = await kid("current", start);
      for (const change of [
        withoutAudit.rotate(both, start + 20_000, actor),
        withoutAudit.revoke(current, "", start, actor),
      ])
        await expect(change).rejects.toThrow("the audit log takes nothing");
      expect(await store.list()).toEqual(before);
    });
  });
}
