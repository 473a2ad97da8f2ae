import { expect, it } from "vitest";
import { Turns } from "./turns.ts";

it("does what one name asks for in order, also behind a failure, and other names' beside it", async () => {
  const turns = new Turns();
  const done: string[] = [];
  const first = Promise.withResolvers<void>();
  const asked = [
    turns.take("a", () => first.promise.then(() => done.push("a1"))),
    turns.take("a", () => Promise.reject(new Error("a2"))),
    turns.take("a", async () => done.push("a3")),
    turns.take("b", async () => done.push("b1")),
  ];
  const ended = turns.ended();
  await asked[3];
  expect(done).toEqual(["b1"]);
  first.resolve();
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
    "fulfilled",
  ]);
  expect(done).toEqual(["b1", "a1", "a3"]);
  await ended;
});
