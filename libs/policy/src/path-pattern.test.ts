import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesPath, parsePathPattern, readPathSegments } from "./path-pattern.ts";

function matches(pattern: string, target: string): boolean {
  const parsed = parsePathPattern(pattern);
  if (parsed === undefined) throw new TypeError(pattern);
  const segments = readPathSegments(target);
  return segments !== undefined && matchesPath(parsed, segments);
}

describe("a path pattern", () => {
  it.each([
    ["/", "/", true],
    ["/", "/a", false],
    ["/v1/models", "/v1/models", true],
    ["/v1/models", "/v1/models?limit=5", true],
    ["/v1/models", "/v1/models/", false],
    ["/v1/models", "/v1/Models", false],
    ["/v1/**", "/v1", true],
    ["/v1/**", "/v1/", true],
    ["/v1/**", "/v1/a/b/c", true],
    ["/v1/**", "/v10/a", false],
    ["/v1/**", "/", false],
    ["/**", "/", true],
    ["/**", "/a/b", true],
    ["/**/issues", "/a/b/issues", true],
    ["/**/issues", "/issues", true],
    ["/**/issues", "/a/issues/b", false],
    ["/repos/*/issues", "/repos/x/issues", true],
    ["/repos/*/issues", "/repos/x/y/issues", false],
    ["/repos/*/issues", "/repos//issues", false],
    ["/static/*.css", "/static/a.css", true],
    ["/static/*.css", "/static/.css", true],
    ["/static/*.css", "/static/a.css.js", false],
    ["/a*b*c", "/abc", true],
    ["/a*b*c", "/aXbYbZc", true],
    ["/a*b*c", "/ac", false],
    ["/aa*aa", "/aaa", false],
    ["/v1/models", "/v1/%6dodels", true],
    ["/v1/*", "/v1/a%20b", true],
  ])("%s and %s: %s", (pattern, target, expected) => {
    expect(matches(pattern, target)).toBe(expected);
  });

  it.each([
    ...["", "v1", "//", "/a//b", "/a/../b", "/.", "/**/a/**", "/a**", "/%61", "/a b", "/a?b", "/a#b", "/é", "/a\\b"],
    ...[`/${"a".repeat(512)}`, `/${"a/".repeat(64)}`, "/*a*b*c*d*e"],
  ])("is refused when it is written %j", (text) => {
    expect(parsePathPattern(text)).toBeUndefined();
  });

  it.each([
    ...["/v1/../admin", "/v1/..", "/v1/./x", "/v1/%2e%2e/admin", "/v1/.%2E/admin", "/v1/..;/admin", "/v1/..;a=b/admin"],
    ...[
      "/v1//admin",
      "//evil",
      "/v1/a%2fb",
      "/v1/a%5Cb",
      "/v1/%252e%252e/admin",
      "/v1/a%00",
      "/v1/a%0ab",
      "/v1/%ff",
      "/v1/%",
    ],
    ...["*", "", "v1"],
  ])("C56: %s has no single meaning and matches nothing", (target) => {
    expect(readPathSegments(target)).toBeUndefined();
    expect(matches("/**", target)).toBe(false);
  });

  it("matches as a naive matcher does", () => {
    const segment = fc.stringMatching(/^[ab*]{0,4}$/).filter((text) => !text.includes("**"));
    const pattern = fc
      .array(fc.oneof({ weight: 4, arbitrary: segment }, { weight: 1, arbitrary: fc.constant("**") }), {
        minLength: 1,
        maxLength: 4,
      })
      .map((segments) => `/${segments.join("/")}`);
    const path = fc
      .array(fc.stringMatching(/^[ab]{0,4}$/), { minLength: 1, maxLength: 5 })
      .map((segments) => `/${segments.join("/")}`);
    fc.assert(
      fc.property(pattern, path, (written, target) => {
        const parsed = parsePathPattern(written);
        const segments = readPathSegments(target);
        if (parsed === undefined || segments === undefined) return;
        const source = written
          .slice(1)
          .split("/")
          .map((each) => (each === "**" ? "(?:/[^/]*)*" : `/${each.replaceAll("*", "[^/]*")}`))
          .join("");
        expect(matchesPath(parsed, segments)).toBe(new RegExp(`^${source}$`).test(target));
      }),
      { numRuns: 3_000 },
    );
  });
});
