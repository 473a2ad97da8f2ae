import { generateKeyPairSync } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AuthService,
  RevocationKind,
  type SandboxSubject,
  SandboxSubjectSchema,
  type UserSubject,
  UserSubjectSchema,
  WatchTrustResponseSchema,
} from "@sandgate/api/auth";
import { Listener, Role } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCsr, createKeyPair } from "@sandgate/pki";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  loadCertificateAuthority,
} from "@sandgate/pki/authority";
import {
  type Call,
  type Connection,
  type Handlers,
  implement,
  Pipeline,
  readAccess,
  ServiceError,
  type ServiceImplementation,
} from "@sandgate/rpc";
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  BootstrapTokenAuthenticator,
  createIdentityStep,
  createTokenSigner,
  type Denial,
  formatJwks,
  LocalOperatorAuthenticator,
  mintToken,
  OperatorCertificateAuthenticator,
  peerKey,
  principalKey,
  SandboxTokenAuthenticator,
  type SubjectRegister,
  sandboxScopeOf,
  type TokenClaims,
  TrustState,
  UserSessionAuthenticator,
} from "./index.ts";

const trustDomain = "sandgate.test";
const hourMs = 3_600_000;
const organization = "5f0e9c1e-0000-4000-8000-000000000001";
const otherOrganization = "5f0e9c1e-0000-4000-8000-000000000002";
const own = "sbx-aaaaaaaaaaaaaaaaaaaa";
const other = "sbx-bbbbbbbbbbbbbbbbbbbb";
const foreign = "sbx-cccccccccccccccccccc";
const missing = "sbx-dddddddddddddddddddd";
const viewer = "11111111-0000-4000-8000-000000000001";
const operator = "11111111-0000-4000-8000-000000000002";
const former = "11111111-0000-4000-8000-000000000003";

interface World {
  now: number;
  readonly trust: TrustState;
  readonly sandboxes: Map<string, SandboxSubject>;
  readonly users: Map<string, UserSubject>;
  readonly denials: Denial[];
  readonly certificates: Readonly<Record<string, Uint8Array>>;
  readonly token: Readonly<Record<string, string>>;
  call(
    service: typeof SandboxService | typeof AuthService | typeof PolicyService,
    method: string,
    request: Record<string, unknown>,
    as: {
      certificate?: string;
      token?: string;
      header?: Record<string, string>;
      /** A header that was sent twice. */
      repeated?: string;
      listener?: Listener;
      connection?: Connection;
    },
  ): Promise<string>;
  seen: Call | undefined;
  /** PEM. */
  sandboxAuthorities: string;
  /** As when the authority's file was replaced. */
  replaceSandboxAuthorities(pem: string): void;
}

let authorities: Record<"service" | "sandbox" | "operator" | "stranger", { pem: string; issuer: CertificateAuthority }>;
let keys: { sandbox: ReturnType<typeof createKeyPair>; thief: ReturnType<typeof createKeyPair> };
const ed25519 = createTokenSigner(generateKeyPairSync("ed25519").privateKey);
const strangerSigner = createTokenSigner(generateKeyPairSync("ed25519").privateKey);
let signing: { jwks: string; signer: typeof ed25519 };

beforeAll(async () => {
  const make = async (commonName: string) => {
    const files = await createCertificateAuthority({ commonName, notAfter: Date.now() + 24 * hourMs });
    return { pem: files.certificatePem, issuer: await loadCertificateAuthority(files) };
  };
  authorities = {
    service: await make("service"),
    sandbox: await make("sandbox"),
    operator: await make("operator"),
    stranger: await make("stranger"),
  };
  keys = { sandbox: createKeyPair(), thief: createKeyPair() };
  const pair = generateKeyPairSync("ed25519");
  signing = { jwks: formatJwks([pair.publicKey]), signer: createTokenSigner(pair.privateKey) };
});

let world: World;

beforeEach(async () => {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const issueSandbox = async (issuer: CertificateAuthority, sandboxId: string, key = keys.sandbox, lifeMs = hourMs) =>
    issuer.issueSandboxCertificate({ trustDomain, sandboxId, certificateRequest: await createCsr(key), lifeMs, now });
  const issueService = (issuer: CertificateAuthority, service: string, domain = trustDomain) =>
    issuer.issueServiceCertificate({
      trustDomain: domain,
      service,
      publicKey: keys.thief.publicKey,
      dnsNames: [],
      ipAddresses: [],
      notAfter: now + hourMs,
      now,
    });
  const issueUser = (userId: string) =>
    authorities.operator.issuer.issueOperatorCertificate({
      trustDomain,
      userId,
      publicKey: keys.thief.publicKey,
      notAfter: now + hourMs,
      now,
    });
  const ownLeaf = await issueSandbox(authorities.sandbox.issuer, own);
  const otherLeaf = await issueSandbox(authorities.sandbox.issuer, other, keys.thief);
  const subject = (sandboxId: string, organizationId: string, keyThumbprint: string) =>
    create(SandboxSubjectSchema, {
      sandboxId,
      name: `name-${sandboxId.slice(-1)}`,
      organizationId,
      ownerUserId: operator,
      incarnation: 2n,
      alive: true,
      trusted: true,
      keyThumbprint,
    });
  const user = (userId: string, role: Role, active = true) =>
    create(UserSubjectSchema, { userId, name: "someone", organizationId: organization, role, active });

  const trust = new TrustState({ clock: () => world.now });
  const sandboxes = new Map([
    [own, subject(own, organization, ownLeaf.keyThumbprint)],
    [other, subject(other, organization, otherLeaf.keyThumbprint)],
    [foreign, subject(foreign, otherOrganization, "")],
  ]);
  const users = new Map([
    [viewer, user(viewer, Role.VIEWER)],
    [operator, user(operator, Role.OPERATOR)],
    [former, user(former, Role.ADMIN, false)],
  ]);
  const register: SubjectRegister = {
    findSandbox: async (sandboxId) => sandboxes.get(sandboxId),
    findSandboxByName: async (organizationId, name) =>
      [...sandboxes.values()].find((one) => one.alive && one.organizationId === organizationId && one.name === name),
    findUser: async (userId) => users.get(userId),
  };
  const denials: Denial[] = [];
  const authorityListeners: (() => void)[] = [];
  const deps = { trust, register, trustDomain, clock: () => world.now };
  const identify = createIdentityStep({
    ...deps,
    authorities: {
      service: authorities.service.pem,
      get sandbox() {
        return world.sandboxAuthorities;
      },
      operator: authorities.operator.pem,
      onChange: (listener) => void authorityListeners.push(listener),
    },
    authenticators: [
      new BootstrapTokenAuthenticator(deps),
      new SandboxTokenAuthenticator(deps),
      new UserSessionAuthenticator(deps),
      new OperatorCertificateAuthenticator(deps),
    ],
    recordDenial: async (denial) => void denials.push(denial),
  });
  const answering = <S extends typeof SandboxService | typeof AuthService | typeof PolicyService>(
    service: S,
  ): ServiceImplementation => {
    const handlers = service.methods.map((method) => [
      method.localName,
      (_request: unknown, call: Call) => {
        world.seen = call;
        return method.methodKind === "unary" ? {} : (async function* () {})();
      },
    ]);
    return implement(service, Object.fromEntries(handlers) as Handlers<S>);
  };
  const pipelines = new Map(
    [Listener.EDGE, Listener.MTLS, Listener.ENROL, Listener.CONTROL].map((listener) => [
      listener,
      new Pipeline({
        listener,
        services: [answering(SandboxService), answering(AuthService), answering(PolicyService)],
        steps: [identify],
      }),
    ]),
  );
  const lifetime = { tokenId: "token-one-0123456789", issuedAtMs: now, expiresAtMs: now + 900_000 };
  const claims = { sandboxId: own, organizationId: organization, incarnation: 2n, ...lifetime };
  const session = { kind: "session", ...claims, keyThumbprint: ownLeaf.keyThumbprint } as const;
  const mint = (body: TokenClaims, signer = signing.signer) => mintToken({ claims: body, signer, trustDomain });
  const userClaims = {
    kind: "user",
    userId: operator,
    organizationId: organization,
    role: Role.ADMIN,
    ...lifetime,
  } as const;

  world = {
    now,
    trust,
    sandboxes,
    users,
    denials,
    seen: undefined,
    sandboxAuthorities: authorities.sandbox.pem,
    replaceSandboxAuthorities: (pem) => {
      world.sandboxAuthorities = pem;
      for (const listener of authorityListeners) listener();
    },
    certificates: {
      own: ownLeaf.der,
      "own, stolen name": (await issueSandbox(authorities.sandbox.issuer, own, keys.thief)).der,
      "own, by the service CA": (await issueSandbox(authorities.service.issuer, own)).der,
      other: otherLeaf.der,
      "own, by a stranger": (await issueSandbox(authorities.stranger.issuer, own)).der,
      missing: (await issueSandbox(authorities.sandbox.issuer, missing)).der,
      sandbox: (await issueService(authorities.service.issuer, "sandbox")).der,
      policy: (await issueService(authorities.service.issuer, "policy")).der,
      "sandbox service, by the sandbox CA": (await issueService(authorities.sandbox.issuer, "sandbox")).der,
      "sandbox service of another domain": (await issueService(authorities.service.issuer, "sandbox", "evil.test")).der,
      viewer: (await issueUser(viewer)).der,
      operator: (await issueUser(operator)).der,
      former: (await issueUser(former)).der,
    },
    token: {
      own: await mint(session),
      "own, superseded": await mint({ ...session, tokenId: "token-zero-0123456789" }),
      "own, last incarnation": await mint({ ...session, incarnation: 1n }),
      "own, of a stranger": await mint(session, strangerSigner),
      other: await mint({ ...session, sandboxId: other, keyThumbprint: otherLeaf.keyThumbprint }),
      bootstrap: await mint({ kind: "bootstrap", ...claims, expiresAtMs: now + 600_000 }),
      operator: await mint(userClaims),
      viewer: await mint({ ...userClaims, userId: viewer }),
      former: await mint({ ...userClaims, userId: former }),
      garbage: "not.a.token",
    },
    call: async (service, methodName, request, as) => {
      const method = service.methods.find((one) => one.name === methodName);
      if (method === undefined) throw new Error(`no ${methodName}`);
      const listener = as.listener ?? (as.certificate === undefined ? Listener.EDGE : Listener.MTLS);
      const pipeline = pipelines.get(listener);
      const route = pipeline?.routes.get(`/${service.typeName}/${methodName}`);
      if (pipeline === undefined || route === undefined) return "METHOD_NOT_FOUND";
      const der = as.certificate === undefined ? undefined : world.certificates[as.certificate];
      const connection: Connection = as.connection ?? {
        transport: "tcp",
        remoteAddress: "127.0.0.1",
        ...(der !== undefined && { certificate: der }),
        drain: () => {},
        onClose: () => {},
      };
      const headers: Record<string, string> = {
        ...(as.token !== undefined && { authorization: `Bearer ${world.token[as.token]}` }),
        ...as.header,
      };
      world.seen = undefined;
      return new Promise((resolve) => {
        const incoming = {
          id: "call-1",
          method,
          listener,
          connection,
          deadline: undefined,
          header: (name: string) => {
            if (name === as.repeated) throw new ServiceError("REQUEST_MALFORMED", "a header was sent more than once");
            return headers[name];
          },
        };
        const bytes = toBinary(method.input, create(method.input, request));
        const end = (error: ServiceError | undefined) => resolve(error === undefined ? "OK" : error.reason);
        const requests = (async function* () {
          yield bytes;
        })();
        switch (method.methodKind) {
          case "unary":
            return void pipeline.unary(route, incoming, bytes, end);
          case "server_streaming":
            return void pipeline.serverStream(route, incoming, bytes, { write: () => {}, end });
          case "client_streaming":
            return void pipeline.clientStream(route, incoming, requests, end);
          case "bidi_streaming":
            return void pipeline.bidiStream(route, incoming, requests, { write: () => {}, end });
        }
      });
    },
  };
  trust.apply(
    create(WatchTrustResponseSchema, {
      sequence: 1n,
      change: { case: "snapshot", value: { signingKeys: { jwksJson: signing.jwks } } },
    }),
  );
});

const heartbeat = () => create(WatchTrustResponseSchema, { sequence: 1n, change: { case: "heartbeat", value: {} } });

const revoke = (kind: RevocationKind, subject: string) =>
  world.trust.apply(
    create(WatchTrustResponseSchema, { sequence: 2n, change: { case: "revocation", value: { kind, subject } } }),
  );

describe("an authority that is replaced", () => {
  const connectionOf = (certificate: string) => ({
    drained: 0,
    transport: "tcp" as const,
    remoteAddress: "127.0.0.1",
    certificate: world.certificates[certificate] ?? new Uint8Array(),
    drain() {
      this.drained += 1;
    },
    onClose: () => {},
  });
  const present = (connection: Connection) =>
    world.call(
      SandboxService,
      "GetSandboxConfig",
      { sandboxId: own },
      { token: "own", connection, certificate: "own" },
    );

  it("is accepted beside the one that follows it, on open connections and new ones", async () => {
    const connection = connectionOf("own");
    expect(await present(connection)).toBe("OK");
    world.replaceSandboxAuthorities(authorities.stranger.pem + authorities.sandbox.pem);
    expect(connection.drained).toBe(0);
    expect(await present(connection)).toBe("OK");
    expect(await present(connectionOf("own"))).toBe("OK");
    expect(await present(connectionOf("own, by a stranger"))).toBe("OK");
  });

  it("is refused once it is retired: new connections at once, open ones when they have had the time to end", async () => {
    const connection = connectionOf("own");
    expect(await present(connection)).toBe("OK");
    world.replaceSandboxAuthorities(authorities.stranger.pem);
    expect(connection.drained).toBe(1);
    expect(await present(connection)).toBe("OK");
    expect(await present(connectionOf("own"))).toBe("CREDENTIAL_REJECTED");
    world.now += 5_001;
    world.trust.apply(heartbeat());
    expect(await present(connection)).toBe("CREDENTIAL_REJECTED");
  });
});

describe("G-01: GetSandboxConfig, which users and sandboxes may call", () => {
  it.each([
    // certificate, token, sandbox asked for, outcome
    ["own", "own", own, "OK"],
    ["own", "own", other, "SANDBOX_NOT_FOUND"],
    ["own", "own", missing, "SANDBOX_NOT_FOUND"],
    ["own", "own", foreign, "SANDBOX_NOT_FOUND"],
    ["own", "own", "", "SANDBOX_NOT_FOUND"],
    ["own", "other", own, "CREDENTIAL_REJECTED"],
    ["own", "other", other, "CREDENTIAL_REJECTED"],
    ["own", undefined, own, "CREDENTIAL_MISSING"],
    ["own", "operator", own, "CREDENTIAL_REJECTED"],
    ["own", "own, superseded", own, "OK"],
    ["own", "own, last incarnation", own, "CREDENTIAL_REVOKED"],
    ["own", "own, of a stranger", own, "CREDENTIAL_REJECTED"],
    ["own", "bootstrap", own, "CREDENTIAL_REJECTED"],
    ["own", "garbage", own, "CREDENTIAL_REJECTED"],
    ["other", "own", own, "CREDENTIAL_REJECTED"],
    ["other", "other", own, "SANDBOX_NOT_FOUND"],
    ["own, stolen name", "own", own, "CREDENTIAL_REVOKED"],
    ["own, by a stranger", "own", own, "CREDENTIAL_REJECTED"],
    ["own, by the service CA", "own", own, "CREDENTIAL_REJECTED"],
    ["missing", "own", own, "CREDENTIAL_REVOKED"],
    [undefined, "own", own, "CREDENTIAL_REJECTED"],
    [undefined, undefined, own, "CREDENTIAL_MISSING"],
    [undefined, "operator", own, "OK"],
    [undefined, "viewer", own, "OK"],
    [undefined, "former", own, "CREDENTIAL_REVOKED"],
    [undefined, "operator", foreign, "SANDBOX_NOT_FOUND"],
    [undefined, "operator", missing, "SANDBOX_NOT_FOUND"],
    [undefined, "operator", "", "REQUEST_INVALID"],
    ["operator", undefined, other, "OK"],
    ["operator", "own", own, "CREDENTIAL_REJECTED"],
    ["viewer", undefined, own, "OK"],
    ["former", undefined, own, "CREDENTIAL_REVOKED"],
    ["policy", undefined, own, "PEER_NOT_ALLOWED"],
    ["sandbox", "operator", own, "PEER_NOT_ALLOWED"],
    ["sandbox service, by the sandbox CA", undefined, own, "CREDENTIAL_REJECTED"],
    ["sandbox service of another domain", undefined, own, "CREDENTIAL_REJECTED"],
  ] as const)("certificate of %s, token of %s, asks for %s: %s", async (certificate, token, sandboxId, outcome) => {
    const as = { ...(certificate !== undefined && { certificate }), ...(token !== undefined && { token }) };
    expect(await world.call(SandboxService, "GetSandboxConfig", { sandboxId }, as)).toBe(outcome);
    expect(world.seen !== undefined).toBe(outcome === "OK");
  });

  it("hands the handler the peer, the principal and the scope", async () => {
    await world.call(SandboxService, "GetSandboxConfig", { sandboxId: own }, { certificate: "own", token: "own" });
    const { seen } = world;
    if (seen === undefined) throw new Error("not called");
    expect(seen.get(peerKey)).toMatchObject({ kind: "sandbox", sandboxId: own, incarnation: 2n });
    expect(seen.get(principalKey)).toMatchObject({ kind: "sandbox", sandboxId: own, authenticator: "sandbox-token" });
    expect(sandboxScopeOf(seen)).toEqual({ sandboxId: own, organizationId: organization });
  });
});

describe("authorization", () => {
  it.each([
    ["an operator may create", SandboxService, "CreateSandbox", {}, { token: "operator" }, "OK"],
    ["a viewer may not create", SandboxService, "CreateSandbox", {}, { token: "viewer" }, "ROLE_TOO_LOW"],
    [
      "D-08: a sandbox may not create",
      SandboxService,
      "CreateSandbox",
      {},
      { certificate: "own", token: "own" },
      "PEER_NOT_ALLOWED",
    ],
    [
      "a name is resolved in the caller's organization",
      SandboxService,
      "GetSandbox",
      { sandbox: "name-a" },
      { token: "viewer" },
      "OK",
    ],
    [
      "G-25: another organization's name is not found",
      SandboxService,
      "GetSandbox",
      { sandbox: "name-c" },
      { token: "viewer" },
      "SANDBOX_NOT_FOUND",
    ],
    [
      "a name that cannot be one is not found",
      SandboxService,
      "GetSandbox",
      { sandbox: "../x" },
      { token: "viewer" },
      "SANDBOX_NOT_FOUND",
    ],
    ["services alone: a service of the list", AuthService, "ResolveUser", {}, { certificate: "policy" }, "OK"],
    [
      "services alone: another service",
      AuthService,
      "RegisterSandbox",
      {},
      { certificate: "policy" },
      "PEER_NOT_ALLOWED",
    ],
    ["services alone: an operator", AuthService, "ResolveUser", {}, { certificate: "operator" }, "PEER_NOT_ALLOWED"],
    [
      "services alone: a sandbox",
      AuthService,
      "ResolveUser",
      {},
      { certificate: "own", token: "own" },
      "PEER_NOT_ALLOWED",
    ],
    [
      "G-13: refresh by a sandbox",
      AuthService,
      "RefreshSandboxToken",
      { sandboxId: own },
      { certificate: "own", token: "own" },
      "OK",
    ],
    [
      "G-13: refresh by a user",
      AuthService,
      "RefreshSandboxToken",
      { sandboxId: own },
      { certificate: "operator" },
      "PRINCIPAL_NOT_ALLOWED",
    ],
    [
      "enrolment with a bootstrap token",
      AuthService,
      "IssueSandboxToken",
      { sandboxId: own },
      { token: "bootstrap", listener: Listener.ENROL },
      "OK",
    ],
    [
      "enrolment of another sandbox",
      AuthService,
      "IssueSandboxToken",
      { sandboxId: other },
      { token: "bootstrap" },
      "SANDBOX_NOT_FOUND",
    ],
    [
      "enrolment with a session token",
      AuthService,
      "IssueSandboxToken",
      { sandboxId: own },
      { token: "own" },
      "CREDENTIAL_REJECTED",
    ],
    [
      "enrolment by a user",
      AuthService,
      "IssueSandboxToken",
      { sandboxId: own },
      { token: "operator" },
      "PRINCIPAL_NOT_ALLOWED",
    ],
    ["enrolment by nobody", AuthService, "IssueSandboxToken", { sandboxId: own }, {}, "CREDENTIAL_MISSING"],
    ["a bootstrap token elsewhere", AuthService, "GetPrincipal", {}, { token: "bootstrap" }, "CREDENTIAL_REJECTED"],
    [
      "no user method on control.sock",
      SandboxService,
      "GetSandbox",
      { sandbox: own },
      { certificate: "own", token: "own", listener: Listener.CONTROL },
      "METHOD_NOT_FOUND",
    ],
    [
      "no other method on enrol.sock",
      SandboxService,
      "GetSandboxConfig",
      { sandboxId: own },
      { token: "operator", listener: Listener.ENROL },
      "METHOD_NOT_FOUND",
    ],
    [
      "G-22: nobody",
      SandboxService,
      "PushSandboxLogs",
      { sandboxId: own },
      { certificate: "viewer" },
      "PRINCIPAL_NOT_ALLOWED",
    ],
  ] as const)("%s", async (_what, service, method, request, as, outcome) => {
    expect(await world.call(service, method, request, as)).toBe(outcome);
  });

  it("a role that the register has lowered counts at once, whatever the token says", async () => {
    world.users.set(
      operator,
      create(UserSubjectSchema, { userId: operator, organizationId: organization, role: Role.VIEWER, active: true }),
    );
    expect(await world.call(SandboxService, "CreateSandbox", {}, { token: "operator" })).toBe("ROLE_TOO_LOW");
  });
});

describe("forwarded principals", () => {
  it.each([
    ["sandbox", `user/${operator}`, "OK"],
    ["sandbox", `user/${viewer}`, "ROLE_TOO_LOW"],
    ["sandbox", `user/${former}`, "CREDENTIAL_REVOKED"],
    ["sandbox", "user/../x", "CREDENTIAL_REJECTED"],
    ["sandbox", undefined, "CREDENTIAL_MISSING"],
    ["policy", `user/${operator}`, "PEER_NOT_ALLOWED"],
    ["own", `user/${operator}`, "PEER_NOT_ALLOWED"],
    ["viewer", `user/${operator}`, "ROLE_TOO_LOW"],
  ] as const)("SetPolicy from %s for %s: %s", async (certificate, caller, outcome) => {
    const header = caller === undefined ? {} : { "sandgate-caller": caller };
    expect(await world.call(PolicyService, "SetPolicy", { sandbox: own }, { certificate, header })).toBe(outcome);
  });

  it("is ignored where the service may not forward", async () => {
    const header = { "sandgate-caller": `user/${operator}` };
    expect(await world.call(AuthService, "ResolveUser", {}, { certificate: "sandbox", header })).toBe("OK");
    expect(world.seen?.find(principalKey)).toBeUndefined();
  });
});

describe("G-03: a credential that was sent twice is refused, and no other one asked for", () => {
  it.each([
    ["authorization", "operator", SandboxService, "ListSandboxes"],
    ["authorization", undefined, SandboxService, "ListSandboxes"],
    ["authorization", "own", SandboxService, "GetSandboxConfig"],
    ["sandgate-caller", "sandbox", PolicyService, "SetPolicy"],
  ] as const)("%s, with the certificate of %s", async (repeated, certificate, service, method) => {
    const as = { repeated, ...(certificate !== undefined && { certificate }) };
    expect(await world.call(service, method, {}, as)).toBe("REQUEST_MALFORMED");
    expect([world.seen, world.denials.length]).toEqual([undefined, 1]);
  });
});

describe("G-15, G-16: what is revoked is refused, also on a connection that was opened before", () => {
  const asOwn = { certificate: "own", token: "own" } as const;
  const ask = () => world.call(SandboxService, "GetSandboxConfig", { sandboxId: own }, asOwn);

  it.each([
    ["the token", () => revoke(RevocationKind.TOKEN, "token-one-0123456789")],
    ["the token, superseded", () => revoke(RevocationKind.SUPERSEDED_TOKEN, "token-one-0123456789")],
    ["the incarnation", () => revoke(RevocationKind.INCARNATION, `${own}/2`)],
    ["the sandbox", () => revoke(RevocationKind.SANDBOX, own)],
  ])("%s", async (_what, act) => {
    expect(await ask()).toBe("OK");
    act();
    expect(await ask()).toBe("CREDENTIAL_REVOKED");
  });

  it("G-13: a superseded token is good for the same refresh again, and for nothing else", async () => {
    revoke(RevocationKind.SUPERSEDED_TOKEN, "token-one-0123456789");
    expect(await world.call(AuthService, "RefreshSandboxToken", { sandboxId: own }, asOwn)).toBe("OK");
    expect(await world.call(AuthService, "IssueEgressToken", { sandboxId: own }, asOwn)).toBe("CREDENTIAL_REVOKED");
  });

  it("the register says not trusted, or retired", async () => {
    const subject = world.sandboxes.get(own);
    if (subject === undefined) throw new Error("no subject");
    for (const change of [{ trusted: false }, { alive: false }, { keyThumbprint: "another" }]) {
      world.sandboxes.set(own, create(SandboxSubjectSchema, { ...subject, ...change }));
      expect(await ask()).toBe("CREDENTIAL_REVOKED");
    }
  });

  it("the signing key", async () => {
    expect(await ask()).toBe("OK");
    revoke(RevocationKind.SIGNING_KEY, signing.signer.kid);
    expect(await ask()).toBe("CREDENTIAL_REJECTED");
  });

  it("a user's sessions of before", async () => {
    expect(await world.call(SandboxService, "ListSandboxes", {}, { token: "operator" })).toBe("OK");
    world.trust.apply(
      create(WatchTrustResponseSchema, {
        sequence: 2n,
        change: {
          case: "revocation",
          value: { kind: RevocationKind.USER, subject: operator, issuedBefore: timestampFromMs(world.now + 1) },
        },
      }),
    );
    expect(await world.call(SandboxService, "ListSandboxes", {}, { token: "operator" })).toBe("CREDENTIAL_REVOKED");
  });

  it("the token has expired, though it was verified before", async () => {
    expect(await ask()).toBe("OK");
    world.now += 906_000;
    world.trust.apply(create(WatchTrustResponseSchema, { sequence: 2n, change: { case: "heartbeat", value: {} } }));
    expect(await ask()).toBe("CREDENTIAL_EXPIRED");
  });

  it("the certificate has expired under an open connection", async () => {
    world.now += hourMs + 1;
    world.trust.apply(create(WatchTrustResponseSchema, { sequence: 2n, change: { case: "heartbeat", value: {} } }));
    expect(await ask()).toBe("CREDENTIAL_EXPIRED");
  });

  it("nothing is accepted once the trust stream has been silent for 10 s", async () => {
    world.now += 10_001;
    expect(await ask()).toBe("TRUST_UNAVAILABLE");
    expect(await world.call(SandboxService, "ListSandboxes", {}, { token: "operator" })).toBe("TRUST_UNAVAILABLE");
    expect(await world.call(SandboxService, "ListSandboxes", {}, { certificate: "operator" })).toBe(
      "TRUST_UNAVAILABLE",
    );
  });
});

describe("the connection of a certificate that expires", () => {
  it.each([
    ["is drained then", false, 1],
    ["is left alone when it has ended before", true, 0],
  ])("%s", async (_what, endsBefore, drained) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let drains = 0;
      const closeListeners: (() => void)[] = [];
      const connection: Connection = {
        transport: "tcp",
        remoteAddress: "",
        certificate: world.certificates.own ?? new Uint8Array(),
        drain: () => void drains++,
        onClose: (listener) => void closeListeners.push(listener),
      };
      const as = { certificate: "own", token: "own", connection };
      for (let calls = 0; calls < 2; calls++)
        expect(await world.call(SandboxService, "GetSandboxConfig", { sandboxId: own }, as)).toBe("OK");
      if (endsBefore) for (const listener of closeListeners) listener();
      vi.advanceTimersByTime(hourMs);
      expect(drains).toBe(drained);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("G-23: every denial is an audit event that carries both ids", () => {
  it.each([
    [{ certificate: "own", token: "own" }, other, `spiffe://${trustDomain}/sandbox/${own}`, other],
    [{ certificate: "own", token: "own" }, missing, `spiffe://${trustDomain}/sandbox/${own}`, missing],
    [{ token: "operator" }, foreign, `spiffe://${trustDomain}/user/${operator}`, foreign],
    [{ token: "operator" }, "x\ny", `spiffe://${trustDomain}/user/${operator}`, ""],
  ] as const)("%o asks for %s", async (as, asked, principal, recorded) => {
    await world.call(SandboxService, "GetSandboxConfig", { sandboxId: asked }, as);
    expect(world.denials).toEqual([
      expect.objectContaining({
        reason: "SANDBOX_NOT_FOUND",
        principal,
        sandboxId: recorded,
        organizationId: organization,
      }),
    ]);
  });
});

it("G-24: every method of the contract has a complete access option", () => {
  for (const service of [AuthService, SandboxService, PolicyService])
    for (const method of service.methods) expect(() => readAccess(method)).not.toThrow();
});

it("G-06: the local operator answers on the edge alone, never to a browser, and only to those who show nothing", async () => {
  const register = { findUser: async (userId: string) => world.users.get(userId) } as SubjectRegister;
  const authenticator = new LocalOperatorAuthenticator({ register, trustDomain, userId: operator });
  const call = (listener: Listener, authorization?: string, transport: Connection["transport"] = "tcp") =>
    authenticator.authenticate({
      listener,
      connection: { transport },
      header: () => authorization,
    } as unknown as Call);
  expect(await call(Listener.EDGE)).toMatchObject({ userId: operator, authenticator: "local-operator" });
  expect(await call(Listener.EDGE, "Bearer x")).toBeUndefined();
  expect(await call(Listener.MTLS)).toBeUndefined();
  expect(await call(Listener.EDGE, undefined, "web")).toBeUndefined();
});
