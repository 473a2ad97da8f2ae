import { describe, expect, it } from "vitest";
import { findLabelFaults, sortLabels } from "./labels.ts";

const faultsOf = (labels: Readonly<Record<string, string>>) => findLabelFaults(labels).map(({ fault }) => fault);

describe("labels", () => {
  it.each([
    {},
    { team: "web", "example.com/tier": "" },
    { a: "1", "A.b_c-9": "x.Y_z-0" },
    { ["k".repeat(63)]: "v".repeat(63), [`${"a.".repeat(126)}b/k`]: "v" },
    Object.fromEntries(Array.from({ length: 32 }, (_, index) => [`k${index}`, "v"])),
  ])("may be %j", (labels) => {
    expect(faultsOf(labels)).toEqual([]);
  });

  it.each<[Record<string, string>, RegExp]>([
    [{ "": "v" }, /^keys/],
    [{ "-k": "v" }, /^keys/],
    [{ "k.": "v" }, /^keys/],
    [{ "a b": "v" }, /^keys/],
    [{ "k\n": "v" }, /^keys/],
    [{ ["k".repeat(64)]: "v" }, /^keys/],
    [{ "/k": "v" }, /^keys/],
    [{ "Example.com/k": "v" }, /^keys/],
    [{ "a..b/k": "v" }, /^keys/],
    [{ "a/b/c": "v" }, /^keys/],
    [{ [`${"a".repeat(254)}/k`]: "v" }, /^keys/],
    [{ "sandgate.dev/k": "v" }, /reserved|prefix sandgate.dev/],
    [{ "x.sandgate.dev/k": "v" }, /prefix sandgate.dev/],
    [{ k: "-v" }, /^values/],
    [{ k: "a b" }, /^values/],
    [{ k: "v\n" }, /^values/],
    [{ k: "v".repeat(64) }, /^values/],
    [Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`k${index}`, "v"])), /at most 32/],
  ])("may not be %j", (labels, fault) => {
    expect(faultsOf(labels)).toEqual([expect.stringMatching(fault)]);
  });

  it("are the same in whatever order they come", () => {
    expect(sortLabels({ b: "1", a: "2" })).toEqual(sortLabels({ a: "2", b: "1" }));
  });
});
