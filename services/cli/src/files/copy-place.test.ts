import { expect, it } from "vitest";
import { parseCopy, parseCopyPlace } from "./copy-place.ts";

it.each([
  ["box:a/b", { kind: "sandbox", sandbox: "box", path: "a/b" }],
  ["box:/tmp/x:y", { kind: "sandbox", sandbox: "box", path: "/tmp/x:y" }],
  ["box:", { kind: "sandbox", sandbox: "box", path: "." }],
  ["./a:b", { kind: "local", path: "./a:b" }],
  ["/a:b", { kind: "local", path: "/a:b" }],
  [":b", { kind: "local", path: ":b" }],
  ["a", { kind: "local", path: "a" }],
])("%s is a place", (text, place) => {
  expect(parseCopyPlace(text)).toEqual(place);
});

it("is from here to there, or back", () => {
  expect(parseCopy("a", "box:b").direction).toBe("in");
  expect(parseCopy("box:a", "b").direction).toBe("out");
  for (const [source, destination] of [["a", "b"] as const, ["one:a", "other:b"] as const])
    expect(() => parseCopy(source, destination)).toThrow("one side");
});
