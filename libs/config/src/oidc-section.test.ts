import { describe, expect, it } from "vitest";
import * as z from "zod";
import { usableOidcProviders } from "./index.ts";
import { oidcProviders } from "./oidc-section.ts";

const schema = z
  .strictObject({ mode: z.string(), trust_domain: z.string(), oidc: oidcProviders })
  .check(usableOidcProviders());

const provider = {
  name: "example",
  issuer: "https://id.example.com/realms/a",
  audiences: ["sandgate"],
  organization: { id: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11", name: "Example" },
};

const parse = (oidc: unknown, over: object = {}) =>
  schema.safeParse({ mode: "production", trust_domain: "sandgate.local", oidc, ...over });
/** The paths of the faults of one provider. */
const faultsOf = (over: object, mode = "production") => {
  const result = parse([{ ...provider, ...over }], { mode });
  return result.success ? [] : result.error.issues.map(({ path }) => path.slice(2).join("."));
};

describe("G-04: the section oidc", () => {
  it("asks for little, and gives no rights by default", () => {
    expect(parse([provider]).data?.oidc).toEqual([
      {
        ...provider,
        algorithms: ["RS256"],
        roles: { claim: "roles", admin: [], operator: [] },
        required_scopes: [],
      },
    ]);
    expect(parse(undefined).data?.oidc).toEqual([]);
  });

  it.each([
    ["issuer", { issuer: "id.example.com" }],
    ["issuer", { issuer: "http://id.example.com" }],
    ["issuer", { issuer: "ftp://id.example.com" }],
    ["issuer", { issuer: "https://id.example.com/?a=b" }],
    ["issuer", { issuer: "https://id.example.com/#" }],
    ["issuer", { issuer: "https://ada:secret@id.example.com/" }],
    ["issuer", { issuer: "https://auth.sandgate.local" }],
    ["name", { name: "Example" }],
    ["audiences", { audiences: [] }],
    ["algorithms", { algorithms: [] }],
    ["algorithms.0", { algorithms: ["HS256"] }],
    ["algorithms.1", { algorithms: ["RS256", "none"] }],
    ["ca_file", { ca_file: "/does/not/exist.pem" }],
    ["organization", { organization: {} }],
    ["organization", { organization: { id: provider.organization.id } }],
    ["organization", { organization: { ...provider.organization, claim: "tenant" } }],
    ["organization.id", { organization: { id: "example", name: "Example" } }],
    ["organization.claim", { organization: { claim: "tenant." } }],
    ["roles.claim", { roles: { claim: "a..b" } }],
    ["roles.claim", { roles: { claim: "a\\" } }],
    ["roles.admin.0", { roles: { admin: [""] } }],
    ["roles", { roles: { everybody: "admin" } }],
    ["", { token: "x" }],
    ["login.client_id", { login: {} }],
    ["login.scopes.0", { login: { client_id: "cli", scopes: ["a b"] } }],
    ["login.resource", { login: { client_id: "cli", resource: "sandgate" } }],
    ["login.token", { login: { client_id: "cli", token: "refresh_token" } }],
  ])("refuses a wrong %s: %j", (path, over) => {
    expect(faultsOf(over)).toEqual([path]);
  });

  it("takes an organization and roles from claims with dots in their names", () => {
    expect(faultsOf({ organization: { claim: "https://example\\.com/tenant.id" } })).toEqual([]);
  });

  it("takes plain http from this machine alone, and in development alone", () => {
    for (const issuer of ["http://127.0.0.1:3000", "http://[::1]:3000/a"]) {
      expect(faultsOf({ issuer }, "development")).toEqual([]);
      expect(faultsOf({ issuer })).toEqual(["issuer"]);
    }
    expect(faultsOf({ issuer: "http://localhost:3000" }, "development")).toEqual(["issuer"]);
    expect(faultsOf({ issuer: "http://127.0.0.1.example.com" }, "development")).toEqual(["issuer"]);
  });

  it("names no provider twice, and all faults at once", () => {
    const result = parse([provider, { ...provider }, { ...provider, name: "other", issuer: "x", audiences: [] }]);
    expect(result.error?.issues.map(({ path }) => path.join("."))).toEqual([
      "oidc.2.issuer",
      "oidc.2.audiences",
      "oidc.1.name",
      "oidc.1.issuer",
    ]);
  });
});
