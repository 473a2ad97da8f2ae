import type { AuditRecord } from "@sandgate/audit";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Denial } from "../steps/identity-steps.ts";
import { createDenialRecorder } from "./denial-recorder.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const sandbox = "spiffe://sandgate.test/sandbox/sbx-aaaaaaaaaaaaaaaaaaaa";
const denial = (fields: Partial<Denial> = {}): Denial => ({
  reason: "SANDBOX_NOT_FOUND",
  service: "sandgate.policy.v1.PolicyService",
  method: "GetPolicy",
  principal: sandbox,
  peer: sandbox,
  organizationId: "o",
  sandboxId: "sbx-bbbbbbbbbbbbbbbbbbbb",
  callId: "call",
  ...fields,
});

function setUp(burst?: number) {
  const world = { records: [] as AuditRecord[], isDown: false };
  const recorder = createDenialRecorder({
    record: async (record) => {
      if (world.isDown) throw new Error("the audit log cannot be written");
      world.records.push(record);
    },
    clock: Date.now,
    burst,
  });
  const deny = async (count: number, fields?: Partial<Denial>) => {
    for (let done = 0; done < count; done += 1) await recorder.record(denial(fields));
  };
  const actions = () => world.records.map(({ action }) => action);
  return { world, recorder, deny, actions };
}

it("G-31 records a caller's denials one by one up to a bound, and counts the others into one record", async () => {
  const { world, deny, actions } = setUp();
  await deny(1_000);
  await deny(5, { reason: "CREDENTIAL_REVOKED", principal: "anonymous" });
  expect(world.records).toHaveLength(100);
  expect(world.records.slice(-2).map(({ details }) => details?.["next"])).toEqual([undefined, "counted"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(actions().slice(100)).toEqual(["call.denials_left_out"]);
  expect(world.records.at(-1)).toMatchObject({
    principal: sandbox,
    organizationId: "o",
    details: { count: "905", reasons: "SANDBOX_NOT_FOUND=900 CREDENTIAL_REVOKED=5" },
  });
});

it("one caller's denials use up nobody else's allowance, and it comes back with time", async () => {
  const { world, deny } = setUp(3);
  await deny(10);
  await deny(1, { principal: "spiffe://sandgate.test/user/u", peer: "none" });
  await deny(1, { principal: "anonymous", peer: "none" });
  expect(world.records).toHaveLength(5);
  await vi.advanceTimersByTimeAsync(20_000);
  await deny(10);
  expect(world.records).toHaveLength(7);
});

it("a clock that is put back gives nothing and takes nothing away for good", async () => {
  const { world, deny } = setUp(2);
  await deny(5);
  vi.setSystemTime(Date.now() - 3_600_000);
  await deny(5);
  expect(world.records).toHaveLength(2);
  vi.setSystemTime(Date.now() + 10_000);
  await deny(5);
  expect(world.records).toHaveLength(3);
});

it("tells what is counted when it stops, and keeps the count while the audit log is out of reach", async () => {
  const { world, recorder, deny, actions } = setUp(1);
  await deny(3);
  world.isDown = true;
  await vi.advanceTimersByTimeAsync(60_000);
  world.isDown = false;
  await recorder.stop();
  expect(actions()).toEqual(["call.denied", "call.denials_left_out"]);
  expect(world.records.at(-1)?.details?.["count"]).toBe("2");
});

it("rejects where a denial cannot be recorded: the caller fails closed", async () => {
  const { world, recorder } = setUp();
  world.isDown = true;
  await expect(recorder.record(denial())).rejects.toThrow("cannot be written");
});
