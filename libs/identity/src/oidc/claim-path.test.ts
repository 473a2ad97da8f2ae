import { describe, expect, it } from "vitest";
import { findClaim, findClaimWords } from "./claim-path.ts";

const claims = {
  roles: ["a", 7, "b"],
  group: "a",
  realm_access: { roles: ["x"], nested: { deep: true } },
  "https://example.com/roles": ["y"],
  resource_access: { "my.app": { roles: ["z"] } },
};

describe("G-04: a claim by dotted path", () => {
  it.each([
    ["group", "a"],
    ["realm_access.roles", ["x"]],
    ["realm_access.nested.deep", true],
    ["https://example\\.com/roles", ["y"]],
    ["resource_access.my\\.app.roles", ["z"]],
    ["https://example.com/roles", undefined],
    ["realm_access.missing.roles", undefined],
    ["group.length", undefined],
    ["roles.0", undefined],
    ["constructor.name", undefined],
    ["__proto__", undefined],
    ["toString", undefined],
  ])("%s", (path, value) => {
    expect(findClaim(claims, path)).toEqual(value);
  });

  it("takes words from a list and from one text, and nothing else", () => {
    expect(findClaimWords(claims, "roles")).toEqual(["a", "b"]);
    expect(findClaimWords(claims, "group")).toEqual(["a"]);
    expect(findClaimWords(claims, "realm_access")).toEqual([]);
    expect(findClaimWords(claims, "missing")).toEqual([]);
  });
});
