import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  currentKey,
  findRetirable,
  isPublished,
  planRotation,
  planSuccession,
  type SigningKeyRecord,
  stateOfKey,
  waitingKey,
} from "./signing-key.ts";

const publishMs = 600;
const lifeMs = 2_000;

let count = 0;
const keyOf = (over: Partial<SigningKeyRecord> = {}): SigningKeyRecord => ({
  kid: `k${++count}`,
  algorithm: "EdDSA",
  publicKeyDer: new Uint8Array(),
  sealedKey: new Uint8Array(1),
  publishedAtMs: 0,
  signsFromMs: undefined,
  retiredAtMs: undefined,
  revokedAtMs: undefined,
  ...over,
});

describe("G-08 a rotation", () => {
  const current = keyOf({ signsFromMs: 0 });
  const next = keyOf({ publishedAtMs: 100 });

  it("has the waiting key sign at once when it has been published for long enough", () => {
    const plan = planRotation([current, next], "EdDSA", { now: 900, publishMs, minimumAgeMs: 0 });
    expect(plan).toEqual({ kid: next.kid, signsFromMs: 900 });
  });

  it("waits until everybody can know the key", () => {
    const plan = planRotation([current, next], "EdDSA", { now: 200, publishMs, minimumAgeMs: 0 });
    expect(plan).toEqual({ kid: next.kid, signsFromMs: 700 });
    const scheduled = { ...next, signsFromMs: 700 };
    const keys = [current, scheduled, keyOf({ publishedAtMs: 200 })];
    expect(stateOfKey(scheduled, keys, 699)).toBe("next");
    expect(stateOfKey(current, keys, 699)).toBe("current");
    expect(stateOfKey(scheduled, keys, 700)).toBe("current");
    expect(stateOfKey(current, keys, 700)).toBe("previous");
  });

  it("does not wait for a key that was published together with the first one", () => {
    const plan = planRotation([current, keyOf()], "EdDSA", { now: 1, publishMs, minimumAgeMs: 0 });
    expect(plan?.signsFromMs).toBe(1);
  });

  it("is not begun while one is under way, nor before the current key is old enough", () => {
    const keys = [current, { ...next, signsFromMs: 700 }, keyOf({ publishedAtMs: 200 })];
    expect(planRotation(keys, "EdDSA", { now: 300, publishMs, minimumAgeMs: 0 })).toBeUndefined();
    expect(planRotation([current, next], "EdDSA", { now: 900, publishMs, minimumAgeMs: 901 })).toBeUndefined();
    expect(planRotation([current, next], "EdDSA", { now: 901, publishMs, minimumAgeMs: 901 })).toBeDefined();
  });

  it("leaves the keys of other algorithms alone", () => {
    expect(planRotation([current, next], "ES256", { now: 900, publishMs, minimumAgeMs: 0 })).toBeUndefined();
    expect(currentKey([current, next], "ES256", 900)).toBeUndefined();
  });
});

it("G-08 a replica whose clock is behind signs with the first key all the same", () => {
  const first = keyOf({ signsFromMs: 100 });
  expect(currentKey([keyOf(), first], "EdDSA", 50)).toBe(first);
});

it("G-08 the place of a revoked key is taken at once, and never by a key that has signed before", () => {
  const previous = keyOf({ signsFromMs: 0 });
  const current = keyOf({ signsFromMs: 10 });
  const next = keyOf({ publishedAtMs: 10 });
  expect(planSuccession([previous, current, next], current, 20)).toEqual({ kid: next.kid, signsFromMs: 20 });
  expect(planSuccession([previous, current, next], previous, 20)).toBeUndefined();
  expect(planSuccession([previous, current, next], next, 20)).toBeUndefined();
  const scheduled = keyOf({ publishedAtMs: 10, signsFromMs: 610 });
  expect(planSuccession([previous, current, scheduled, next], current, 20)).toEqual({
    kid: scheduled.kid,
    signsFromMs: 20,
  });
});

it("G-08 whatever is done in whatever order, one key signs, one waits, and nothing valid is refused", () => {
  const steps = fc.array(
    fc.record({
      waitMs: fc.integer({ min: 0, max: 1_500 }),
      act: fc.constantFrom("rotate", "revoke current", "revoke next", "revoke previous", "retire", "nothing"),
    }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, (acts) => {
      let now = 1;
      let keys: SigningKeyRecord[] = [keyOf({ publishedAtMs: 0, signsFromMs: 0 }), keyOf({ publishedAtMs: 0 })];
      const signed: { readonly kid: string; readonly at: number }[] = [];
      const put = (kid: string, over: Partial<SigningKeyRecord>) => {
        keys = keys.map((key) => (key.kid === kid ? { ...key, ...over } : key));
        if (waitingKey(keys, "EdDSA") === undefined) keys.push(keyOf({ publishedAtMs: now }));
      };
      for (const { waitMs, act } of acts) {
        now += waitMs;
        const current = currentKey(keys, "EdDSA", now);
        expect(current && stateOfKey(current, keys, now)).toBe("current");
        expect(keys.filter((key) => stateOfKey(key, keys, now) === "current")).toHaveLength(1);
        signed.push({ kid: current?.kid ?? "", at: now });
        // who verifies by a key set that is `publishMs` old knows the key, unless it had to take a revoked one's place
        const successions = keys.some(({ revokedAtMs }) => revokedAtMs === current?.signsFromMs);
        if (!successions && current?.publishedAtMs !== 0)
          expect(now - (current?.publishedAtMs ?? 0)).toBeGreaterThanOrEqual(publishMs);
        const byState = (state: string) => keys.find((key) => stateOfKey(key, keys, now) === state);
        switch (act) {
          case "rotate": {
            const plan = planRotation(keys, "EdDSA", { now, publishMs, minimumAgeMs: 0 });
            if (plan !== undefined) put(plan.kid, { signsFromMs: plan.signsFromMs });
            break;
          }
          case "retire":
            for (const { kid } of findRetirable(keys, now, () => lifeMs)) put(kid, { retiredAtMs: now });
            break;
          case "nothing":
            break;
          default: {
            const victim = byState(act.slice("revoke ".length));
            if (victim === undefined) break;
            const successor = planSuccession(keys, victim, now);
            put(victim.kid, { revokedAtMs: now });
            if (successor !== undefined) put(successor.kid, { signsFromMs: now });
          }
        }
        const waiting = keys.filter((key) => isPublished(key) && key.signsFromMs === undefined);
        expect(waiting).toHaveLength(1);
        for (const { kid, at } of signed) {
          const key = keys.find((candidate) => candidate.kid === kid);
          if (key?.revokedAtMs === undefined && now < at + lifeMs) expect(key?.retiredAtMs).toBeUndefined();
        }
      }
    }),
    { numRuns: 2_000 },
  );
});
