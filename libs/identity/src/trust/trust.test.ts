import { generateKeyPairSync } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Revocation,
  RevocationKind,
  RevocationSchema,
  SandboxSubjectSchema,
  UserSubjectSchema,
  type WatchTrustResponse,
  WatchTrustResponseSchema,
} from "@sandgate/api/auth";
import { ServiceError } from "@sandgate/rpc";
import { describe, expect, it } from "vitest";
import { formatJwks } from "../tokens/index.ts";
import { followTrust } from "./follow-trust.ts";
import { RemoteSubjectRegister } from "./remote-subject-register.ts";
import { TrustState } from "./trust-state.ts";

type Change = WatchTrustResponse["change"];

const message = (sequence: number, change: Change): WatchTrustResponse =>
  create(WatchTrustResponseSchema, { sequence: BigInt(sequence), change });
const revocation = (kind: RevocationKind, subject: string): Revocation => create(RevocationSchema, { kind, subject });
const revoked = (sequence: number, kind: RevocationKind, subject: string): WatchTrustResponse =>
  message(sequence, { case: "revocation", value: revocation(kind, subject) });
const snapshot = (sequence: number, revocations: Revocation[] = [], jwksJson = '{"keys":[]}'): WatchTrustResponse =>
  create(WatchTrustResponseSchema, {
    sequence: BigInt(sequence),
    change: { case: "snapshot", value: { revocations, signingKeys: { jwksJson } } },
  });
const heartbeat = (sequence: number): WatchTrustResponse =>
  create(WatchTrustResponseSchema, { sequence: BigInt(sequence), change: { case: "heartbeat", value: {} } });
const sandbox = (
  sequence: number,
  fields: Parameters<typeof create<typeof SandboxSubjectSchema>>[1],
): WatchTrustResponse => message(sequence, { case: "sandbox", value: create(SandboxSubjectSchema, fields) });

describe("TrustState", () => {
  const start = (): { state: TrustState; set(now: number): void } => {
    let now = 1_000_000;
    return {
      state: new TrustState({ clock: () => now }),
      set: (value) => {
        now = value;
      },
    };
  };

  it("is not current before it has heard anything, nor 10 s after the last word", () => {
    const { state, set } = start();
    expect(state.isCurrent()).toBe(false);
    state.apply(snapshot(1));
    set(1_010_000);
    expect(state.isCurrent()).toBe(true);
    set(1_010_001);
    expect(state.isCurrent()).toBe(false);
    state.apply(heartbeat(1));
    expect(state.isCurrent()).toBe(true);
  });

  it("lasts no longer for a clock that is put back", () => {
    const { state, set } = start();
    state.apply(snapshot(1));
    set(400_000);
    expect(state.isCurrent()).toBe(true);
    set(410_000);
    expect(state.isCurrent()).toBe(true);
    set(410_001);
    expect(state.isCurrent()).toBe(false);
  });

  it("replaces everything at a snapshot", () => {
    const { state } = start();
    state.apply(revoked(1, RevocationKind.TOKEN, "a"));
    state.apply(snapshot(5, [revocation(RevocationKind.TOKEN, "b")]));
    expect([state.isTokenRevoked("a"), state.isTokenRevoked("b"), state.sequence]).toEqual([false, true, 5n]);
  });

  it("finds a signing key until it is revoked", () => {
    const { state } = start();
    const { publicKey } = generateKeyPairSync("ed25519");
    const jwks = formatJwks([publicKey]);
    const kid = (JSON.parse(jwks) as { keys: { kid: string }[] }).keys[0]?.kid ?? "";
    state.apply(snapshot(1, [], jwks));
    expect(state.find(kid)).toMatchObject({ kid, algorithm: "EdDSA" });
    state.apply(revoked(2, RevocationKind.SIGNING_KEY, kid));
    expect(state.find(kid)).toBeUndefined();
  });

  it.each([
    ["a token", revoked(2, RevocationKind.TOKEN, "t1"), 1],
    ["another token", revoked(2, RevocationKind.TOKEN, "t2"), 0],
    ["a token that was superseded: streams go on", revoked(2, RevocationKind.SUPERSEDED_TOKEN, "t1"), 0],
    ["the incarnation", revoked(2, RevocationKind.INCARNATION, "s1/3"), 1],
    ["the sandbox", revoked(2, RevocationKind.SANDBOX, "s1"), 1],
    ["another sandbox", revoked(2, RevocationKind.SANDBOX, "s10"), 0],
    ["the key that signed the token", revoked(2, RevocationKind.SIGNING_KEY, "k1"), 1],
    ["another key", revoked(2, RevocationKind.SIGNING_KEY, "k2"), 0],
    ["the subject retired", sandbox(2, { sandboxId: "s1", alive: false, trusted: true }), 1],
    ["the subject not trusted", sandbox(2, { sandboxId: "s1", alive: true, trusted: false }), 1],
    ["the subject changed but trusted", sandbox(2, { sandboxId: "s1", alive: true, trusted: true }), 0],
  ])("tells watchers of a sandbox and a token about %s", (_what, change, times) => {
    const { state } = start();
    let told = 0;
    const stop = state.watch(["sandbox:s1", "token:t1", "key:k1"], () => told++);
    state.apply(change);
    expect(told).toBe(times);
    stop();
    state.apply(revoked(3, RevocationKind.SANDBOX, "s1"));
    expect(told).toBe(times);
  });

  it("judges a user's session by when it was issued", () => {
    const { state } = start();
    state.apply(
      message(1, {
        case: "revocation",
        value: create(RevocationSchema, {
          kind: RevocationKind.USER,
          subject: "u",
          issuedBefore: timestampFromMs(5_000),
        }),
      }),
    );
    expect([state.isUserSessionRevoked("u", 4_999), state.isUserSessionRevoked("u", 5_000)]).toEqual([true, false]);
  });
});

describe("followTrust", () => {
  it("reconnects and goes on after the last sequence", async () => {
    const state = new TrustState({ clock: () => 0 });
    const asked: bigint[] = [];
    const stop = new AbortController();
    const faults: unknown[] = [];
    await followTrust({
      state,
      signal: stop.signal,
      onFault: (fault) => faults.push(fault),
      client: {
        watchTrust: async function* (request: { readonly afterSequence?: bigint }) {
          asked.push(request.afterSequence ?? 0n);
          if (asked.length === 3) return stop.abort();
          yield snapshot(asked.length * 10);
          throw new ServiceError("UNAVAILABLE", "gone");
        },
      },
    });
    expect([asked, faults.length, state.sequence]).toEqual([[0n, 10n, 20n], 2, 20n]);
  });
});

describe("RemoteSubjectRegister", () => {
  const start = () => {
    let now = 0;
    const trust = new TrustState({ clock: () => now });
    trust.apply(snapshot(1));
    let reads = 0;
    let answer = { sandboxId: "s1", name: "one", organizationId: "o", alive: true, trusted: true };
    let hold: Promise<void> = Promise.resolve();
    const register = new RemoteSubjectRegister({
      trust,
      client: {
        resolveSandbox: async (request) => {
          reads += 1;
          const subject = create(SandboxSubjectSchema, answer);
          await hold;
          if (request.key?.value === "missing") throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
          if (request.key?.value === "down") throw new ServiceError("UNAVAILABLE", "down");
          return { subject, $typeName: "sandgate.auth.v1.ResolveSandboxResponse" };
        },
        resolveUser: async () => {
          reads += 1;
          return {
            subject: create(UserSubjectSchema, { userId: "u", active: true }),
            $typeName: "sandgate.auth.v1.ResolveUserResponse",
          };
        },
      },
    });
    return {
      register,
      trust,
      reads: () => reads,
      answerWith: (fields: Partial<typeof answer>) => {
        answer = { ...answer, ...fields };
      },
      holdUntil: (promise: Promise<void>) => {
        hold = promise;
      },
      advance: (ms: number) => {
        now += ms;
      },
    };
  };

  it("reads once, by id or by name, until the stream says that the subject changed", async () => {
    const { register, trust, reads, answerWith } = start();
    await register.findSandbox("s1");
    await register.findSandbox("s1");
    await register.findSandboxByName("o", "one");
    expect(reads()).toBe(1);
    answerWith({ alive: false });
    trust.apply(sandbox(2, { sandboxId: "s1", name: "one", organizationId: "o", alive: false }));
    expect((await register.findSandbox("s1"))?.alive).toBe(false);
    expect(reads()).toBe(2);
  });

  it("does not keep what was being read when the change arrived", async () => {
    const { register, trust, reads, holdUntil } = start();
    const held = Promise.withResolvers<void>();
    holdUntil(held.promise);
    const reading = register.findSandbox("s1");
    trust.apply(sandbox(2, { sandboxId: "s1", name: "one", organizationId: "o", alive: false }));
    held.resolve();
    await reading;
    await register.findSandbox("s1");
    expect(reads()).toBe(2);
  });

  it("uses nothing kept while the stream is not current", async () => {
    const { register, reads, advance } = start();
    await register.findUser("u");
    advance(10_001);
    await register.findUser("u");
    expect(reads()).toBe(2);
  });

  it("shares one read between callers, keeps no absence, and does not take an outage for absence", async () => {
    const { register, reads } = start();
    await Promise.all([register.findSandbox("s1"), register.findSandbox("s1")]);
    expect(reads()).toBe(1);
    expect(await register.findSandbox("missing")).toBeUndefined();
    await register.findSandbox("missing");
    expect(reads()).toBe(3);
    await expect(register.findSandbox("down")).rejects.toMatchObject({ reason: "TRUST_UNAVAILABLE" });
  });
});
