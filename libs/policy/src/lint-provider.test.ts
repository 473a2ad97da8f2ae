import { describe, expect, it } from "vitest";
import { isProviderSecret, lintProvider } from "./lint-provider.ts";
import { type ProviderMessage, providerKind } from "./provider-message.ts";

const endpoint = { host: "api.example.com", port: 0, path: "", cleartext: false };
const bearer: ProviderMessage = {
  name: "models",
  kind: providerKind.bearer,
  header: "",
  username: "",
  endpoints: [endpoint],
  environment: "MODELS_KEY",
  baseUrlEnvironment: "MODELS_URL",
};
const faultsOf = (more: object) => {
  const check = lintProvider({ ...bearer, ...more });
  return check.ok ? [] : check.faults.map(({ field }) => field);
};

describe("lintProvider", () => {
  it("brings endpoints into canonical form", () => {
    const endpoints = [
      { ...endpoint, host: "API.bücher.example", path: "/v1/" },
      { ...endpoint, cleartext: true },
      { ...endpoint, port: 8443, path: "/" },
    ];
    const check = lintProvider({ ...bearer, endpoints });
    expect(check.ok && check.provider.endpoints).toEqual([
      { host: "api.xn--bcher-kva.example", port: 443, path: "/v1", cleartext: false },
      { host: "api.example.com", port: 80, path: "/", cleartext: true },
      { host: "api.example.com", port: 8443, path: "/", cleartext: false },
    ]);
  });

  it.each<[string, object, string]>([
    ["a name that is none", { name: "No" }, "name"],
    ["no kind", { kind: 0 }, "kind"],
    ["no endpoint", { endpoints: [] }, "endpoints"],
    ["a wildcard", { endpoints: [{ ...endpoint, host: "*.example.com" }] }, "endpoints[0].host"],
    ["an address", { endpoints: [{ ...endpoint, host: "10.0.0.1" }] }, "endpoints[0].host"],
    ["a metadata service", { endpoints: [{ ...endpoint, host: "metadata.google.internal" }] }, "endpoints[0].host"],
    ["a port that is none", { endpoints: [{ ...endpoint, port: 70_000 }] }, "endpoints[0].port"],
    ["a path with dots", { endpoints: [{ ...endpoint, path: "/v1/../x" }] }, "endpoints[0].path"],
    ["cleartext to a TLS port", { endpoints: [{ ...endpoint, port: 443, cleartext: true }] }, "endpoints[0].cleartext"],
    ["a header without the kind", { header: "x-api-key" }, "header"],
    ["the kind without a header", { kind: providerKind.header }, "header"],
    ["a header that frames", { kind: providerKind.header, header: "content-length" }, "header"],
    ["a header of the suite", { kind: providerKind.header, header: "x-sandgate-decision" }, "header"],
    ["a user name without the kind", { username: "git" }, "username"],
    ["a user name with a colon", { kind: providerKind.basic, username: "a:b" }, "username"],
    ["a variable that every process has", { environment: "PATH" }, "environment"],
    ["a variable that leads around the proxy", { environment: "https_proxy" }, "environment"],
    ["a variable that loads code", { environment: "LD_PRELOAD" }, "environment"],
    ["a variable used twice", { baseUrlEnvironment: "MODELS_KEY" }, "base_url_environment"],
  ])("refuses %s", (_name, more, field) => {
    expect(faultsOf(more)).toEqual([field]);
  });

  it("takes a header of its own, and a user name", () => {
    expect(faultsOf({ kind: providerKind.header, header: "x-api-key" })).toEqual([]);
    expect(faultsOf({ kind: providerKind.basic, username: "x-access-token" })).toEqual([]);
  });
});

describe("isProviderSecret", () => {
  it.each(["sk-abcde", "two words", "~".repeat(4096)])("takes %s", (text) => {
    expect(isProviderSecret(text)).toBe(true);
  });
  it.each([
    "",
    "sk-abcd",
    " sk-abcde",
    "sk-abcde ",
    "sk-abc\r\nhost: evil",
    "sk-abc\nde",
    "sk-abc\0de",
    "sk-abcdé",
    "sk-abcd\u0130",
    "~".repeat(4097),
  ])("refuses %j", (text) => {
    expect(isProviderSecret(text)).toBe(false);
  });
});
