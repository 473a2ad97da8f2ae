import { expect, it } from "vitest";
import { HandOff } from "./hand-off.ts";

it("hands values over in order and then ends", async () => {
  const handOff = new HandOff<number>();
  const giving = (async () => {
    for (const value of [1, 2, 3]) expect(await handOff.give(value)).toBe(true);
    handOff.end();
  })();
  const taken: number[] = [];
  for await (const value of handOff.take()) taken.push(value);
  expect(taken).toEqual([1, 2, 3]);
  await giving;
});

it("holds the giver back until the taker wants the next value", async () => {
  const handOff = new HandOff<number>();
  const taker = handOff.take();
  const first = taker.next();
  expect(await handOff.give(1)).toBe(true);
  expect(await first).toEqual({ value: 1, done: false });
  let second = "waiting";
  const giving = handOff.give(2).then(() => {
    second = "taken";
  });
  await Promise.resolve();
  expect(second).toBe("waiting");
  expect(await taker.next()).toEqual({ value: 2, done: false });
  await giving;
  await taker.return(undefined);
});

it("tells the giver when the taker has left", async () => {
  const handOff = new HandOff<number>();
  const giving = handOff.give(1);
  const taker = handOff.take();
  expect(await taker.next()).toEqual({ value: 1, done: false });
  expect(await giving).toBe(true);
  const last = handOff.give(2);
  await taker.return(undefined);
  expect(await last).toBe(false);
  expect(await handOff.give(3)).toBe(false);
});

it("passes an error on to the taker, after what was offered before", async () => {
  const handOff = new HandOff<number>();
  const giving = handOff.give(1);
  handOff.end(new Error("gone"));
  const taker = handOff.take();
  expect(await taker.next()).toEqual({ value: 1, done: false });
  expect(await giving).toBe(true);
  await expect(taker.next()).rejects.toThrow("gone");
});
