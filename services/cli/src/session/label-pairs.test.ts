import { expect, it } from "vitest";
import { parseLabelPairs } from "./label-pairs.ts";

it("reads labels, of which a value may be empty or hold an equals sign", () => {
  expect(parseLabelPairs(["team=web", "example.com/tier=", "a=b=c", "team=web"])).toEqual({
    team: "web",
    "example.com/tier": "",
    a: "b=c",
  });
});

it.each([[["team"]], [["=web"]], [["team=web", "team=db"]]])("refuses %j", (pairs) => {
  expect(() => parseLabelPairs(pairs)).toThrow("--label");
});
