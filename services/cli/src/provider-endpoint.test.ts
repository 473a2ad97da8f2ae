import { describe, expect, it } from "vitest";
import { parseProviderEndpoint } from "./provider-endpoint.ts";

describe("parseProviderEndpoint", () => {
  it.each([
    ["api.example.com", { host: "api.example.com", port: 0, path: "", cleartext: false }],
    ["https://api.example.com/v1", { host: "api.example.com", port: 0, path: "/v1", cleartext: false }],
    ["http://internal:8080", { host: "internal", port: 8080, path: "", cleartext: true }],
    ["api.example.com:8443/v1/x", { host: "api.example.com", port: 8443, path: "/v1/x", cleartext: false }],
  ])("reads %s", (text, endpoint) => {
    expect(parseProviderEndpoint(text)).toEqual(endpoint);
  });

  it.each(["", "ftp://x", "https://user@host", "host?query", "host:port", "[::1]", "https://"])(
    "refuses %j",
    (text) => {
      expect(() => parseProviderEndpoint(text)).toThrow();
    },
  );
});
