import { expect, it } from "vitest";
import { Activity } from "./activity.ts";

function create() {
  const world = { now: 1_000_000, busy: false, written: 0, requests: 0 };
  const signs = { isBusy: () => world.busy, counts: () => [world.written, world.requests] };
  return { world, activity: new Activity({ signs, now: () => world.now }) };
}

it("counts the time in which nothing happened", () => {
  const { world, activity } = create();
  expect(activity.idleMs()).toBe(0);
  world.now += 4_000;
  expect(activity.idleMs()).toBe(4_000);
  world.now += 4_000;
  expect(activity.idleMs()).toBe(8_000);
});

it.each(["written", "requests"] as const)("begins anew where something was %s since the last look", (count) => {
  const { world, activity } = create();
  activity.idleMs();
  world.now += 9_000;
  world[count] += 1;
  expect(activity.idleMs()).toBe(0);
  world.now += 1_000;
  expect(activity.idleMs()).toBe(1_000);
});

it("takes nothing for idle while something is under way, nor the time of it afterwards", () => {
  const { world, activity } = create();
  world.busy = true;
  world.now += 9_000;
  expect(activity.idleMs()).toBe(0);
  world.busy = false;
  world.now += 1_000;
  expect(activity.idleMs()).toBe(1_000);
});

it("is not misled by a clock that goes back", () => {
  const { world, activity } = create();
  activity.idleMs();
  world.now -= 60_000;
  expect(activity.idleMs()).toBe(0);
});
