import { expect, it } from "vitest";
import { parseEnvironmentPairs } from "./environment-pairs.ts";

it("takes names with values, also empty ones and ones with equals signs", () => {
  expect(parseEnvironmentPairs(["A=1", "B=", "C=x=y\nz"])).toEqual({ A: "1", B: "", C: "x=y\nz" });
});

it.each(["HOME", "=x", "1A=x", "A-B=x", ""])("refuses %j", (pair) => {
  expect(() => parseEnvironmentPairs([pair])).toThrow("--env takes NAME=VALUE");
});
