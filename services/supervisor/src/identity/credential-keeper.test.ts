import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AuthService,
  IssueEgressTokenResponseSchema,
  IssueSandboxTokenResponseSchema,
  RefreshSandboxTokenResponseSchema,
  RejoinSandboxResponseSchema,
  type SandboxCredentials,
  SandboxCredentialsSchema,
} from "@sandgate/api/auth";
import { createKeyPair } from "@sandgate/pki";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import { describe, expect, it } from "vitest";
import type { Timers } from "../timers.ts";
import { CredentialKeeper } from "./credential-keeper.ts";
import { CredentialSlot } from "./credential-slot.ts";

const minute = 60_000;

/** A clock that a test moves; waits end when their time has come. */
function fakeTimers(): Timers & {
  advance(ms: number): Promise<void>;
  /** Puts the clock on or back; what waits goes on waiting as long as it would have. */
  step(ms: number): void;
  readonly waits: number[];
} {
  let now = 1_000_000;
  let waiting: { at: number; resolve: () => void }[] = [];
  const waits: number[] = [];
  return {
    waits,
    now: () => now,
    wait: (delayMs, signal) =>
      new Promise((resolve) => {
        waits.push(delayMs);
        if (signal?.aborted === true || delayMs <= 0) return resolve();
        signal?.addEventListener("abort", () => resolve(), { once: true });
        waiting.push({ at: now + delayMs, resolve });
      }),
    step: (ms) => {
      now += ms;
      waiting = waiting.map(({ at, resolve }) => ({ at: at + ms, resolve }));
    },
    advance: async (ms) => {
      now += ms;
      const due = waiting.filter(({ at }) => at <= now);
      waiting = waiting.filter(({ at }) => at > now);
      for (const { resolve } of due) resolve();
      for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    },
  };
}

function setUp() {
  const timers = fakeTimers();
  const slot = new CredentialSlot(createKeyPair());
  const events: string[] = [];
  const faults: Record<string, ServiceError | undefined> = {};
  let serial = 0;
  const credentials = (): SandboxCredentials => {
    serial += 1;
    const expireTime = timestampFromMs(timers.now() + 15 * minute);
    return create(SandboxCredentialsSchema, {
      certificateChain: [new Uint8Array([serial])],
      token: `token-${serial}`,
      certificateExpireTime: expireTime,
      tokenExpireTime: expireTime,
    });
  };
  const answer = (name: string): SandboxCredentials => {
    events.push(name);
    const fault = faults[name];
    if (fault !== undefined) throw fault;
    return credentials();
  };
  const channel: Channel = {
    unary: async (method) => {
      const issued = answer(method.localName);
      switch (method.localName) {
        case "issueSandboxToken":
          return create(IssueSandboxTokenResponseSchema, { credentials: issued });
        case "refreshSandboxToken":
          return create(RefreshSandboxTokenResponseSchema, { credentials: issued });
        default:
          return create(IssueEgressTokenResponseSchema, {
            token: issued.token,
            expireTime: timestampFromMs(timers.now() + 15 * minute),
          });
      }
    },
    bidiStream: async function* (_method, requests) {
      for await (const request of requests) {
        const { step, rejoinCount } = request as { step: { case: string }; rejoinCount?: bigint };
        if (step.case === "sandboxId")
          yield create(RejoinSandboxResponseSchema, { step: { case: "challenge", value: new Uint8Array(32) } });
        else
          yield create(RejoinSandboxResponseSchema, {
            step: { case: "credentials", value: answer(`rejoin ${rejoinCount}`) },
          });
      }
    },
    serverStream: () => {
      throw new Error("not called");
    },
    clientStream: () => {
      throw new Error("not called");
    },
    close: () => {},
  };
  const client = createClient(AuthService, channel);
  const stop = new AbortController();
  const keeper = new CredentialKeeper({
    sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa",
    slot,
    enrolment: client,
    auth: client,
    timers,
    random: () => 0,
    logger: { info: () => {}, warn: () => {}, error: () => {} },
    onRejoin: () => events.push("renewed connections"),
  });
  return { timers, slot, events, faults, keeper, stop };
}

describe("G-11, G-14: the credential keeper", () => {
  it("enrols once and puts what it got into the slot", async () => {
    const { keeper, slot, events, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    expect(events).toEqual(["issueSandboxToken"]);
    expect(slot.session?.token).toBe("token-1");
    expect(slot.session?.certificate).toMatch(/^-----BEGIN CERTIFICATE-----\nAQ==\n/);
  });

  it("reads its credential for each attempt, and waits for a cluster that cannot be asked", async () => {
    const { keeper, faults, timers, stop } = setUp();
    let reads = 0;
    const read = () => `token-${++reads}`;
    faults.issueSandboxToken = new ServiceError("IDENTITY_PROVIDER_UNAVAILABLE", "away");
    const enrolling = keeper.enrol(read, stop.signal);
    await timers.advance(0);
    expect(reads).toBe(1);
    faults.issueSandboxToken = undefined;
    await timers.advance(100);
    await enrolling;
    expect(reads).toBe(2);
  });

  it("waits for a server that cannot be reached, and gives up where it is refused", async () => {
    const { keeper, faults, events, timers, stop, slot } = setUp();
    faults.issueSandboxToken = new ServiceError("UNAVAILABLE", "away");
    const enrolling = keeper.enrol(() => "bootstrap", stop.signal);
    await timers.advance(0);
    expect(timers.waits).toEqual([100]);
    faults.issueSandboxToken = undefined;
    await timers.advance(100);
    await enrolling;
    expect(slot.session).toBeDefined();

    const refused = setUp();
    refused.faults.issueSandboxToken = new ServiceError("BOOTSTRAP_USED", "used");
    await expect(refused.keeper.enrol(() => "bootstrap", stop.signal)).rejects.toMatchObject({
      reason: "BOOTSTRAP_USED",
    });
    expect(events).toHaveLength(2);
  });

  it("renews at about 80 % of the life, and every user of the slot sees it at once", async () => {
    const { keeper, slot, events, timers, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = keeper.keepSession(stop.signal);
    await timers.advance(11 * minute);
    expect(events).toEqual(["issueSandboxToken"]);
    await timers.advance(2 * minute);
    expect(events).toEqual(["issueSandboxToken", "refreshSandboxToken"]);
    expect(slot.session?.token).toBe("token-2");
    stop.abort();
    await keeping;
  });

  it("keeps the old credentials through failures, backs off, and goes on", async () => {
    const { keeper, slot, events, timers, faults, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = keeper.keepSession(stop.signal);
    faults.refreshSandboxToken = new ServiceError("UNAVAILABLE", "away");
    await timers.advance(13 * minute);
    await timers.advance(100);
    await timers.advance(200);
    expect(events.filter((event) => event === "refreshSandboxToken")).toHaveLength(3);
    expect(timers.waits.slice(-2)).toEqual([200, 400]);
    expect(slot.session?.token).toBe("token-1");
    faults.refreshSandboxToken = undefined;
    await timers.advance(400);
    expect(slot.session?.token).toBe("token-2");
    stop.abort();
    await keeping;
  });

  it("rejoins with its key when the credentials ran out, with a count that rises at every attempt", async () => {
    const { keeper, slot, events, timers, faults, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = keeper.keepSession(stop.signal);
    faults["rejoin 1"] = new ServiceError("UNAVAILABLE", "away");
    await timers.advance(20 * minute);
    await timers.advance(10_000);
    expect(events).toEqual(["issueSandboxToken", "rejoin 1", "rejoin 2", "renewed connections"]);
    expect(slot.session?.token).toBe("token-2");
    stop.abort();
    await keeping;
  });

  it("rejoins when the server does not know the token any more", async () => {
    const { keeper, events, timers, faults, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = keeper.keepSession(stop.signal);
    faults.refreshSandboxToken = new ServiceError("CREDENTIAL_REVOKED", "superseded");
    await timers.advance(13 * minute);
    expect(events).toEqual(["issueSandboxToken", "refreshSandboxToken", "rejoin 1", "renewed connections"]);
    stop.abort();
    await keeping;
  });

  it("G-15 renews at once when the session is refused, and rejoins when the refresh is refused, too", async () => {
    const { keeper, slot, events, timers, faults, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = keeper.keepSession(stop.signal);
    faults.refreshSandboxToken = new ServiceError("CREDENTIAL_REJECTED", "its key is revoked");
    const { session } = slot;
    slot.refuseSession(session);
    await timers.advance(0);
    expect(events).toEqual(["issueSandboxToken", "refreshSandboxToken", "rejoin 1", "renewed connections"]);
    slot.refuseSession(session); // that one is not held any more
    await timers.advance(minute);
    expect(events).toHaveLength(4);
    await keeper.renew(stop.signal).catch(() => undefined); // as debug-rpc does
    await timers.advance(0);
    slot.refuseSession(slot.session);
    await timers.advance(0);
    expect(events.slice(4)).toEqual([
      ...["refreshSandboxToken", "rejoin 2", "renewed connections"],
      ...["refreshSandboxToken", "rejoin 3", "renewed connections"],
    ]);
    stop.abort();
    await keeping;
  });

  it("G-15 gets another egress token when the proxy refuses one, ever more slowly, and goes on with the old one", async () => {
    const { keeper, slot, events, timers, stop } = setUp();
    const keeping = keeper.keepEgress(stop.signal);
    await timers.advance(0);
    for (const waitMs of [100, 200, 400]) {
      const refused = slot.egressToken ?? "";
      slot.refuseEgress(refused);
      slot.refuseEgress("another");
      await timers.advance(0);
      expect(timers.waits.at(-1)).toBe(waitMs);
      expect(slot.findEgressToken(timers.now())).toBe(refused);
      await timers.advance(waitMs);
      expect(slot.egressToken).not.toBe(refused);
    }
    expect(events).toHaveLength(4);
    stop.abort();
    await keeping;
  });

  it("G-13, G-14 strands nobody whose clock is put on by hours: what has run out is replaced when it is asked for", async () => {
    const { keeper, slot, events, timers, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = [keeper.keepSession(stop.signal), keeper.keepEgress(stop.signal)];
    await timers.advance(0);
    const last = slot.findEgressToken(timers.now());
    expect(last).toBeDefined();
    timers.step(5 * 60 * minute);
    slot.refuseSession(slot.session); // as the first refused call does
    expect(slot.findEgressToken(timers.now())).toBeUndefined();
    await timers.advance(0);
    await timers.advance(200);
    expect(events).toContain("rejoin 1");
    expect(slot.session?.expiresAt).toBeGreaterThan(timers.now());
    expect(slot.findEgressToken(timers.now())).not.toBe(last);
    expect(slot.findEgressToken(timers.now())).toBeDefined();
    stop.abort();
    await Promise.all(keeping);
  });

  it("G-13, G-14 renews in time after the clock was put back by hours, and asks no faster", async () => {
    const { keeper, slot, events, timers, stop } = setUp();
    await keeper.enrol(() => "bootstrap", stop.signal);
    const keeping = keeper.keepSession(stop.signal);
    await timers.advance(minute);
    timers.step(-5 * 60 * minute);
    await timers.advance(12 * minute);
    expect(events).toEqual(["issueSandboxToken", "refreshSandboxToken"]);
    await timers.advance(11 * minute);
    expect(events).toHaveLength(2);
    await timers.advance(2 * minute);
    expect(events).toHaveLength(3);
    expect(slot.session?.token).toBe("token-3");
    stop.abort();
    await keeping;
  });

  it("keeps an egress token fresh", async () => {
    const { keeper, slot, timers, stop } = setUp();
    const keeping = keeper.keepEgress(stop.signal);
    await timers.advance(0);
    const first = slot.findEgressToken(timers.now());
    expect(first).toBeDefined();
    await timers.advance(13 * minute);
    const second = slot.findEgressToken(timers.now());
    expect(second).toBeDefined();
    expect(second).not.toBe(first);
    expect(slot.findEgressToken(timers.now() + 16 * minute)).toBeUndefined();
    stop.abort();
    await keeping;
  });
});
