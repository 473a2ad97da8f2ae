import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RevocationKind, type UserSubject, UserSubjectSchema, WatchTrustResponseSchema } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Call, ServiceError } from "@sandgate/rpc";
import { beforeEach, describe, expect, it } from "vitest";
import type { OidcClaims } from "../oidc/oidc-claims.ts";
import type { OidcProviders } from "../oidc/oidc-providers.ts";
import { TrustState } from "../trust/trust-state.ts";
import { OidcUserAuthenticator } from "./oidc-user.ts";

const userId = "a70b1877-a841-5207-95b4-6bae0e60be7c";
const organizationId = "5f0e9c1e-0000-4000-8000-000000000001";
const now = Date.parse("2026-03-01T12:00:00Z");
const claims: OidcClaims = {
  userId,
  issuer: "https://id.example",
  subject: "ada",
  name: "Ada",
  organizationId,
  organizationName: "Example",
  role: Role.OPERATOR,
  issuedAtMs: now - 1000,
  expiresAtMs: now + 300_000,
};
const subject = (over: Partial<UserSubject> = {}) =>
  create(UserSubjectSchema, { userId, name: "Ada", organizationId, role: Role.OPERATOR, active: true, ...over });

let time: number;
let trust: TrustState;
let kept: UserSubject | undefined;
let registered: string[];
let answer: UserSubject;
let authenticator: OidcUserAuthenticator;

beforeEach(() => {
  time = now;
  trust = new TrustState({ clock: () => time });
  trust.apply(create(WatchTrustResponseSchema, { sequence: 1n, change: { case: "snapshot", value: {} } }));
  kept = undefined;
  registered = [];
  answer = subject();
  const verify = async (token: string) => {
    if (token === "bad") throw new ServiceError("CREDENTIAL_REJECTED", "no");
    return token === "good" ? claims : undefined;
  };
  authenticator = new OidcUserAuthenticator({
    providers: { verify } as Partial<OidcProviders> as OidcProviders, // the one thing that it asks of them
    registerUser: async (token) => {
      registered.push(token);
      return answer;
    },
    trust,
    register: {
      findSandbox: async () => undefined,
      findSandboxByName: async () => undefined,
      findUser: async (id) => (id === userId ? kept : undefined),
    },
    trustDomain: "sandgate.test",
  });
});

const authenticate = (authorization: string | undefined) =>
  authenticator.authenticate({ header: () => authorization } as Partial<Call> as Call);
const reasonOf = (authorization: string) =>
  authenticate(authorization).then(
    () => "OK",
    (thrown) => (thrown instanceof ServiceError ? thrown.reason : thrown),
  );

describe("G-04: users of OpenID providers", () => {
  it("are entered into the register the first time, and not again", async () => {
    const principal = {
      kind: "user",
      userId,
      organizationId,
      role: Role.OPERATOR,
      spiffeId: `spiffe://sandgate.test/user/${userId}`,
      authenticator: "oidc-user",
    };
    expect(await authenticate("Bearer good")).toEqual(principal);
    kept = subject();
    expect(await authenticate("Bearer good")).toEqual(principal);
    expect(registered).toEqual(["good"]);
  });

  it.each([
    ["role", { role: Role.VIEWER }],
    ["organization", { organizationId: "5f0e9c1e-0000-4000-8000-000000000002" }],
  ])("are what the register answers when the token says another %s than was kept", async (_, over) => {
    kept = subject(over);
    answer = subject({ role: Role.ADMIN });
    expect(await authenticate("Bearer good")).toMatchObject({ role: Role.ADMIN });
    expect(registered).toEqual(["good"]);
  });

  it("are refused once they are switched off", async () => {
    kept = subject({ active: false });
    expect(await reasonOf("Bearer good")).toBe("CREDENTIAL_REVOKED");
    kept = undefined;
    answer = subject({ active: false });
    expect(await reasonOf("Bearer good")).toBe("CREDENTIAL_REVOKED");
  });

  it("G-15 are refused with tokens from before a revocation", async () => {
    kept = subject();
    const revoke = (issuedBefore: number) =>
      trust.apply(
        create(WatchTrustResponseSchema, {
          sequence: 2n,
          change: {
            case: "revocation",
            value: { kind: RevocationKind.USER, subject: userId, issuedBefore: timestampFromMs(issuedBefore) },
          },
        }),
      );
    revoke(claims.issuedAtMs);
    expect(await reasonOf("Bearer good")).toBe("OK");
    revoke(claims.issuedAtMs + 1);
    expect(await reasonOf("Bearer good")).toBe("CREDENTIAL_REVOKED");
  });

  it("are refused without current revocation data", async () => {
    time += 10_001;
    expect(await reasonOf("Bearer good")).toBe("TRUST_UNAVAILABLE");
    expect(registered).toEqual([]);
  });

  it("are not whoever brings no token, or another's", async () => {
    expect(await authenticate(undefined)).toBeUndefined();
    expect(await authenticate("Basic good")).toBeUndefined();
    expect(await authenticate("Bearer other")).toBeUndefined();
    expect(await reasonOf("Bearer bad")).toBe("CREDENTIAL_REJECTED");
  });
});
