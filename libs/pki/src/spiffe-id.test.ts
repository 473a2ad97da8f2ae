import { describe, expect, it } from "vitest";
import { formatSpiffeId, parseSpiffeId } from "./spiffe-id.ts";

describe("parseSpiffeId", () => {
  it.each(["service/auth", "sandbox/sbx-aaaaaaaaaaaaaaaaaaaa", "user/6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11"])(
    "reads back what formatSpiffeId wrote: %s",
    (path) => {
      const parsed = parseSpiffeId(`spiffe://sandgate.local/${path}`);
      expect(parsed && formatSpiffeId(parsed)).toBe(`spiffe://sandgate.local/${path}`);
    },
  );

  it.each([
    "",
    "SPIFFE://sandgate.local/service/auth",
    "spiffe://Sandgate.local/service/auth",
    "spiffe://sandgate.local/service/auth/",
    "spiffe://sandgate.local/service/../user",
    "spiffe://sandgate.local//service/auth",
    "spiffe://sandgate.local/machine/auth",
    "spiffe://sandgate.local:1/service/auth",
    "spiffe://user@sandgate.local/service/auth",
    "spiffe://sandgate.local/service/auth?x",
    "spiffe://sandgate.local/service/auth\n",
    `spiffe://sandgate.local/service/${"a".repeat(600)}`,
  ])("refuses %j", (text) => {
    expect(parseSpiffeId(text)).toBeUndefined();
  });
});

it("formats no name that would read as something else", () => {
  expect(() => formatSpiffeId({ trustDomain: "sandgate.local", kind: "user", name: "a/b" })).toThrow(TypeError);
});
