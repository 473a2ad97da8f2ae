import { describe, expect, it } from "vitest";
import { endpointCovers } from "./provider-endpoint.ts";
import { parseWireAuthority } from "./wire-host.ts";

const endpoint = { host: "api.example.com", port: 443, path: "/v1" };
const covers = (authority: string, target: string, of = endpoint) => {
  const destination = parseWireAuthority(authority);
  if (destination === undefined) throw new Error("no authority");
  return endpointCovers(of, destination, target);
};

describe("endpointCovers", () => {
  it.each(["/v1", "/v1/", "/v1/chat?x=../..", "/v1/a.b", "/v1/...", "/v1/%41", "/v1?q"])("covers %s", (target) => {
    expect(covers("api.example.com:443", target)).toBe(true);
  });

  it.each([
    "/",
    "/v2",
    "/v10",
    "/V1",
    "/v1/..",
    "/v1/../admin",
    "/v1/./x",
    "/v1/%2e%2E/admin",
    "/v1/.%2e/admin",
    "/v1/..;/admin",
    "/v1/..;a=b/admin",
    "/v1/%2fadmin",
    "/v1/%5c..",
    "/v1/%252e%252e/admin",
    "/v1//admin",
    "//v1",
    "/v1%2f..",
    "/v1/\\..",
    "/v1/%00",
    "*",
  ])("does not cover %s", (target) => {
    expect(covers("api.example.com:443", target)).toBe(false);
  });

  it.each(["api.example.com:80", "evil.example:443", "sub.api.example.com:443", "10.0.0.1:443"])(
    "does not cover %s",
    (authority) => {
      expect(covers(authority, "/v1")).toBe(false);
    },
  );

  it("covers every path below the root", () => {
    expect(covers("API.example.com.:443", "/x//../y", { ...endpoint, path: "/" })).toBe(true);
  });
});
