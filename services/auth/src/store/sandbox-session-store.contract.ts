import { RevocationKind } from "@sandgate/api/auth";
import type { SandboxScope } from "@sandgate/identity";
import { describe, expect, it } from "vitest";
import { newSandboxId } from "../auth-bench.contract.ts";
import { MAX_LIVE_SESSIONS } from "../domain/sandbox-session.ts";
import type { Actor, AuthStore } from "./auth-store.ts";
import type { SandboxSessionStore } from "./sandbox-session-store.ts";

/** A store under test, and the register that it shares a database with. */
export interface SandboxSessionStoreSubject {
  readonly store: SandboxSessionStore;
  readonly register: AuthStore;
  /** A store on the same data whose audit log takes nothing. */
  readonly withoutAudit: SandboxSessionStore;
  /** The audit log of a sandbox, oldest first: action and token. */
  auditedAbout(
    sandboxId: string,
  ): Promise<readonly { readonly action: string; readonly tokenId: string | undefined }[]>;
  /** Has a key that signed, and is revoked. */
  revokeKey(kid: string): Promise<void>;
  /** Everything that is at rest about a session, as text. */
  atRest(tokenId: string): Promise<string>;
}

const now = Date.parse("2026-03-01T12:00:00Z");
const actor: Actor = { principal: "spiffe://t/user/u", peer: "none" };
const ownerUserId = "0b8f8c0e-1111-4222-8333-444455556666";
const userId = "0b8f8c0e-1111-4222-8333-444455557777";

/** What every store of container tokens' sessions promises. */
export function describeSandboxSessionStore(name: string, subject: () => SandboxSessionStoreSubject): void {
  const store = () => subject().store;
  const scopeOf = (sandboxId: string) => ({ sandboxId }) as SandboxScope; // the scope step's part in a test
  let count = 0;

  const registered = async (organizationId: string = crypto.randomUUID()) => {
    const sandboxId = newSandboxId();
    await subject().register.registerSandbox(
      { sandboxId, organizationId, name: sandboxId, ownerUserId, incarnation: 1n },
      now,
      actor,
    );
    return { sandboxId, organizationId };
  };
  const sessionOf = (
    sandbox: { readonly sandboxId: string; readonly organizationId: string },
    over: {
      readonly bySupervisor?: boolean;
      readonly issuedAtMs?: number;
      readonly incarnation?: bigint;
      readonly keyId?: string;
    } = {},
  ) => {
    count += 1;
    const issuedAtMs = over.issuedAtMs ?? now;
    const bySupervisor = over.bySupervisor ?? false;
    return {
      ...sandbox,
      tokenId: String(count).padStart(43, "0"),
      tokenSha256: count.toString(16).padStart(64, "0"),
      userId: bySupervisor ? undefined : userId,
      bySupervisor,
      incarnation: over.incarnation ?? 1n,
      audience: "egress-proxy",
      issuedAtMs,
      expiresAtMs: issuedAtMs + 900_000,
      keyId: over.keyId ?? "k".repeat(43),
      allowedHosts: undefined,
    };
  };
  const opened = async (...args: Parameters<typeof sessionOf>) => {
    const session = sessionOf(...args);
    expect(await store().open(session, now, actor)).toBe("open");
    return session;
  };
  const find = (organizationId: string, tokenId: string, at = now) =>
    store().find(organizationId, { kind: "token_id", value: tokenId }, at);
  const list = async (
    query: Partial<Parameters<SandboxSessionStore["list"]>[0]> & { readonly organizationId: string },
    at = now,
  ) => {
    const defaults = { sandboxId: undefined, userId: undefined, pageSize: 100, before: undefined };
    return (await store().list({ ...defaults, ...query }, at)).items.map(({ tokenId }) => tokenId);
  };
  const revokedSince = async (sequence: bigint) =>
    (await subject().register.readTrust(sequence)).events
      .filter((event) => event.kind === "revocation" && event.revocationKind === RevocationKind.TOKEN)
      .map((event) => event.subject);
  const headOfTrust = async () => (await subject().register.readTrust(0n)).head;

  describe(name, () => {
    it("S0-40, S0-42, D-42 finds a session by its token's id and by the token's hash", async () => {
      const sandbox = await registered();
      const { allowedHosts: _hosts, keyId: _key, ...session } = await opened(sandbox);
      expect(await find(sandbox.organizationId, session.tokenId)).toEqual(session);
      const byHash = { kind: "token_sha256", value: session.tokenSha256 } as const;
      expect(await store().find(sandbox.organizationId, byHash, now)).toEqual(session);
      expect(await find(sandbox.organizationId, "x".repeat(43))).toBeUndefined();
    });

    it("G-25, D-42 finds nothing of another organization", async () => {
      const session = await opened(await registered());
      const other = crypto.randomUUID();
      expect(await find(other, session.tokenId)).toBeUndefined();
      expect(await list({ organizationId: other })).toEqual([]);
      const target = { kind: "token", tokenId: session.tokenId } as const;
      expect((await store().revoke(other, target, "", now, actor)).decision).toBeUndefined();
      expect((await store().revoke(other, { kind: "all" }, "", now, actor)).decision).toBe(0);
      expect(await find(session.organizationId, session.tokenId)).toBeDefined();
    });

    it("S0-40 says that a supervisor's own is the owner's", async () => {
      const sandbox = await registered();
      const session = await opened(sandbox, { bySupervisor: true });
      expect(await find(sandbox.organizationId, session.tokenId)).toMatchObject({
        userId: ownerUserId,
        bySupervisor: true,
      });
    });

    it("S0-41, D-41 ends with the token, not some time after it was stored", async () => {
      const sandbox = await registered();
      const session = await opened(sandbox, { issuedAtMs: now - 600_000 });
      expect(await find(sandbox.organizationId, session.tokenId, now + 299_999)).toBeDefined();
      expect(await find(sandbox.organizationId, session.tokenId, now + 300_000)).toBeUndefined();
      expect(await list({ organizationId: sandbox.organizationId }, now + 300_000)).toEqual([]);
    });

    it("G-08, D-10 ends with the key that signed its token, and no other with it", async () => {
      const sandbox = await registered();
      const session = await opened(sandbox, { keyId: "r".repeat(43) });
      const other = await opened(sandbox);
      await subject().revokeKey("r".repeat(43));
      expect(await find(sandbox.organizationId, session.tokenId)).toBeUndefined();
      expect(await list({ organizationId: sandbox.organizationId })).toEqual([other.tokenId]);
    });

    it("S0-43, D-42 lists what is live, newest first, of all, of a sandbox and of a user", async () => {
      const one = await registered();
      const two = await registered(one.organizationId);
      const first = await opened(one, { issuedAtMs: now - 2_000 });
      const second = await opened(two, { issuedAtMs: now - 1_000, bySupervisor: true });
      const third = await opened(one);
      const { organizationId } = one;
      expect(await list({ organizationId })).toEqual([third.tokenId, second.tokenId, first.tokenId]);
      expect(await list({ organizationId, sandboxId: one.sandboxId })).toEqual([third.tokenId, first.tokenId]);
      expect(await list({ organizationId, userId: ownerUserId })).toEqual([second.tokenId]);
    });

    it("S0-43 lists in pages, also what was issued within one second", async () => {
      const sandbox = await registered();
      const issued = [await opened(sandbox), await opened(sandbox), await opened(sandbox)];
      const { organizationId } = sandbox;
      const query = { organizationId, sandboxId: undefined, userId: undefined, pageSize: 2 };
      const page = await store().list({ ...query, before: undefined }, now);
      expect(page.more).toBe(true);
      const last = page.items.at(-1);
      if (last === undefined) throw new Error("an empty page");
      const rest = await store().list({ ...query, before: last }, now);
      expect(rest.more).toBe(false);
      const ids = [...page.items, ...rest.items].map(({ tokenId }) => tokenId);
      expect(ids).toEqual(issued.map(({ tokenId }) => tokenId).reverse());
    });

    it.each([
      ["a token", (session: { tokenId: string }) => ({ kind: "token", tokenId: session.tokenId }) as const, 1],
      [
        "a sandbox",
        (session: { sandboxId: string }) => ({ kind: "sandbox", sandboxId: session.sandboxId }) as const,
        2,
      ],
      ["a user", () => ({ kind: "user", userId }) as const, 3],
      ["an organization", () => ({ kind: "all" }) as const, 4],
    ])(
      "S0-42, G-15, D-42 revokes all of %s and nothing else, once, and tells everyone",
      async (_what, targetOf, size) => {
        const one = await registered();
        const two = await registered(one.organizationId);
        const bystander = await opened(await registered());
        const sessions = [
          await opened(one),
          await opened(one),
          await opened(two),
          await opened(two, { bySupervisor: true }),
        ];
        const [session] = sessions;
        if (session === undefined) throw new Error("no session");
        const head = await headOfTrust();
        const revoke = () => store().revoke(one.organizationId, targetOf(session), "gone", now, actor);
        expect((await revoke()).decision).toBe(size);
        expect(await revoke()).toEqual({ decision: 0, sequence: undefined });

        const gone = sessions.slice(0, size).map(({ tokenId }) => tokenId);
        expect((await revokedSince(head)).toSorted()).toEqual(gone.toSorted());
        const left = sessions.slice(size).map(({ tokenId }) => tokenId);
        expect((await list({ organizationId: one.organizationId })).toSorted()).toEqual(left.toSorted());
        expect(await find(bystander.organizationId, bystander.tokenId)).toBeDefined();
        const audited = [
          ...(await subject().auditedAbout(one.sandboxId)),
          ...(await subject().auditedAbout(two.sandboxId)),
        ];
        const revoked = audited.filter(({ action }) => action === "egress_token.revoked").map(({ tokenId }) => tokenId);
        expect(revoked.toSorted()).toEqual(gone.toSorted());
      },
    );

    it("G-15 tells of a revocation until the token is past its time everywhere", async () => {
      const sandbox = await registered();
      const session = await opened(sandbox);
      await store().revoke(sandbox.organizationId, { kind: "all" }, "", now, actor);
      const opening = async (at: number) => {
        const { kind, ...rest } = await subject().register.openTrust(0n, at);
        return kind === "snapshot" && "revocations" in rest ? rest.revocations.map((event) => event.subject) : [];
      };
      expect(await opening(session.expiresAtMs + 5_000)).toContain(session.tokenId);
      expect(await opening(session.expiresAtMs + 60_000)).not.toContain(session.tokenId);
    });

    it("revokes more than one transaction's worth", async () => {
      const sandbox = await registered();
      for (const bySupervisor of [true, false])
        for (let index = 0; index < 600; index += 1) await opened(sandbox, { bySupervisor });
      const { decision } = await store().revoke(sandbox.organizationId, { kind: "all" }, "", now, actor);
      expect(decision).toBe(1_200);
      expect(await list({ organizationId: sandbox.organizationId })).toEqual([]);
    });

    it("D-10, S0-42 the end of a sandbox ends its sessions and revokes their tokens", async () => {
      const [retired, revoked, advanced] = [await registered(), await registered(), await registered()];
      const sessions = [await opened(retired), await opened(revoked), await opened(advanced)];
      const head = await headOfTrust();
      await subject().register.retireSandbox(retired.sandboxId, now, actor);
      await subject().register.revokeSandbox(scopeOf(revoked.sandboxId), "", now, actor);
      const registration = { ...advanced, name: advanced.sandboxId, ownerUserId, incarnation: 2n };
      await subject().register.registerSandbox(registration, now, actor);
      expect((await revokedSince(head)).toSorted()).toEqual(sessions.map(({ tokenId }) => tokenId).toSorted());
      for (const { organizationId, tokenId } of sessions) expect(await find(organizationId, tokenId)).toBeUndefined();
    });

    it("D-10, D-30 opens none for a sandbox that is gone, revoked or of another incarnation", async () => {
      const sandbox = await registered();
      const open = (over = {}) => store().open(sessionOf(sandbox, over), now, actor);
      expect(await open({ incarnation: 2n })).toBe("other_incarnation");
      await subject().register.revokeSandbox(scopeOf(sandbox.sandboxId), "", now, actor);
      expect(await open()).toBe("revoked");
      await subject().register.retireSandbox(sandbox.sandboxId, now, actor);
      expect(await open()).toBe("absent");
      const missing = { ...sandbox, sandboxId: newSandboxId() };
      expect(await store().open(sessionOf(missing), now, actor)).toBe("absent");
    });

    it("D-10 leaves no token alive when a sandbox ends while tokens are made", async () => {
      const sandbox = await registered();
      const sessions = Array.from({ length: 12 }, () => sessionOf(sandbox));
      const ending = subject().register.retireSandbox(sandbox.sandboxId, now, actor);
      const decisions = await Promise.all(sessions.map((session) => store().open(session, now, actor)));
      await ending;
      expect(decisions.every((decision) => decision === "open" || decision === "absent")).toBe(true);
      expect(await list({ organizationId: sandbox.organizationId })).toEqual([]);
    });

    it("bounds what users mint for a sandbox, and leaves its supervisor its own", async () => {
      const sandbox = await registered();
      for (let index = 0; index < MAX_LIVE_SESSIONS; index += 1) await opened(sandbox);
      expect(await store().open(sessionOf(sandbox), now, actor)).toBe("too_many");
      await opened(sandbox, { bySupervisor: true });
      expect(await store().open(sessionOf(sandbox), now + 900_000, actor)).toBe("open");
    });

    it("G-31 undoes what cannot be recorded", async () => {
      const sandbox = await registered();
      const session = await opened(sandbox);
      const head = await headOfTrust();
      const mute = subject().withoutAudit;
      const other = sessionOf(sandbox);
      await expect(mute.open(other, now, actor)).rejects.toThrow();
      await expect(mute.revoke(sandbox.organizationId, { kind: "all" }, "", now, actor)).rejects.toThrow();
      expect(await list({ organizationId: sandbox.organizationId })).toEqual([session.tokenId]);
      expect(await revokedSince(head)).toEqual([]);
    });

    it("D-40 keeps the token's id and hash, and audits what was issued after it is forgotten", async () => {
      const sandbox = await registered();
      const session = await opened(sandbox);
      expect(await subject().atRest(session.tokenId)).toContain(session.tokenSha256);
      await store().prune(session.expiresAtMs + 60_000);
      expect(await subject().atRest(session.tokenId)).toContain(session.tokenSha256);
      await store().prune(session.expiresAtMs + 60_001);
      expect(await subject().atRest(session.tokenId)).toBe("");
      expect(await subject().auditedAbout(sandbox.sandboxId)).toContainEqual({
        action: "egress_token.issued",
        tokenId: session.tokenId,
      });
    });
  });
}
