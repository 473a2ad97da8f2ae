import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DescMethod } from "@bufbuild/protobuf";
import { AuthService, type SandboxCredentials } from "@sandgate/api/auth";
import { Listener, Role } from "@sandgate/api/options";
import { AuditLog } from "@sandgate/audit";
import {
  grantSandboxScope,
  type OidcClaims,
  type Peer,
  type Principal,
  peerKey,
  principalKey,
} from "@sandgate/identity";
import { createCsr, createKeyPair, type KeyPair, keyThumbprint } from "@sandgate/pki";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  loadCertificateAuthority,
} from "@sandgate/pki/authority";
import { type Client, createClient, createInProcessChannel, Pipeline, ServiceError, type Step } from "@sandgate/rpc";
import { createLogger } from "@sandgate/telemetry";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { openSigningKeys, type SigningKeyRing } from "./keys/signing-keys.ts";
import { type AuthModule, createAuthModule } from "./module.ts";

/** The organization, the operator and the administrator that every bench has. */
export const organizationId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
export const operatorId = "0b8f8c0e-1111-4222-8333-444455556666";
export const adminId = "0b8f8c0e-1111-4222-8333-444455557777";
export const trustDomain = "sandgate.test";
export const start = Date.parse("2026-03-01T12:00:00Z");
/** How the bench's signing keys rotate: when a test says so. */
const rotation = { maxAgeMs: 0, publishMs: 600_000 };

/** The Auth service on a real database, with identities that the test gives and a clock that it moves. */
export interface AuthBench {
  readonly module: AuthModule;
  readonly database: ThrowAwayDatabase;
  readonly audit: AuditLog;
  readonly keys: SigningKeyRing;
  readonly authority: CertificateAuthority;
  readonly operatorAuthority: CertificateAuthority;
  /** Ids of the sandboxes whose sockets are open, in the order of opening. */
  readonly sockets: string[];
  /** Milliseconds since the epoch, as the service sees it. */
  readonly clock: { now: number };
  /** A client whose calls carry this identity. The scope is what the request names. */
  as(identity: { readonly principal?: Principal; readonly peer?: Peer }): Client<typeof AuthService>;
  /** The tokens of an OpenID provider, and what they say. */
  readonly oidcTokens: Map<string, OidcClaims>;
  /** As the Sandbox service. */
  readonly sandboxService: Client<typeof AuthService>;
  /** As the Policy service. */
  readonly policyService: Client<typeof AuthService>;
  /** A further replica on the same database, with keys of the same directory. Stopped with the bench. */
  startReplica(): Promise<AuthBench>;
  stop(): Promise<void>;
}

/** Starts a bench with a database of its own. */
export async function startAuthBench(
  options: {
    readonly mayBeUnenforced?: boolean;
    /** Another PostgreSQL than the test run's. */
    readonly server?: ThrowAwayDatabase["connection"];
  } = {},
): Promise<AuthBench> {
  const database = await createThrowAwayDatabase({ services: ["auth"], server: options.server });
  await database.migrate("auth", fileURLToPath(new URL("../migrations", import.meta.url)));
  const directory = await mkdtemp(join(tmpdir(), "auth-"));
  const authority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "sandboxes", notAfter: start + 365 * 86_400_000, now: start }),
  );
  const operatorAuthority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "operators", notAfter: start + 365 * 86_400_000, now: start }),
  );
  const clock = { now: start };
  const oidcTokens = new Map<string, OidcClaims>();
  const replicas: (() => Promise<void>)[] = [];

  const startReplica = async (): Promise<AuthBench> => {
    const pool = database.createPool("auth");
    const audit = new AuditLog({ database: pool, clock: () => clock.now });
    const keys = await openSigningKeys({
      pool,
      audit,
      directory,
      rotation,
      workloadAlgorithm: "ES256",
      clock: () => clock.now,
    });
    const sockets: string[] = [];
    const module = createAuthModule({
      pool,
      connection: database.connection,
      audit,
      keys,
      sandboxAuthority: authority,
      operatorAuthorities: () => operatorAuthority.certificatePem,
      trustDomain,
      lives: { sessionMs: 900_000, certificateMs: 3_600_000, workloadMs: 300_000 },
      containerTokens: {
        audiences: ["sandbox-api"],
        defaultLifeMs: 900_000,
        mayBeUnenforced: options.mayBeUnenforced === true,
      },
      operators: [
        { userId: operatorId, name: "Ada", organizationId, organizationName: "Example", role: Role.OPERATOR },
        { userId: adminId, name: "Grace", organizationId, organizationName: "Example", role: Role.ADMIN },
      ],
      users: { isSignUpOpen: true, sessionMs: 7 * 86_400_000, invitationMs: 7 * 86_400_000 },
      oidc: {
        verify: async (token) => oidcTokens.get(token),
        start: () => undefined,
        stop: async () => undefined,
        checks: {},
      },
      loginProviders: [],
      sockets: {
        open: async (id) => void sockets.push(id),
        close: async (id) => void sockets.splice(sockets.indexOf(id), 1),
      },
      logger: createLogger({ service: "auth", level: "error" }),
      clock: () => clock.now,
    });
    await module.start();
    replicas.push(() => module.stop());
    const as: AuthBench["as"] = (identity) => createClient(AuthService, channelAs(module, identity));
    const asService = (service: string) =>
      as({ peer: { kind: "service", service, spiffeId: `spiffe://${trustDomain}/service/${service}` } });
    const sandboxService = asService("sandbox");
    const policyService = asService("policy");
    return {
      module,
      database,
      audit,
      keys,
      authority,
      operatorAuthority,
      sockets,
      clock,
      as,
      oidcTokens,
      sandboxService,
      policyService,
      startReplica,
      stop,
    };
  };

  const stop = async (): Promise<void> => {
    for (const end of replicas) await end();
    await database.drop();
    await rm(directory, { recursive: true });
  };
  return startReplica();
}

/** The principal of the bench's operator. */
export const operator: Principal = {
  kind: "user",
  userId: operatorId,
  organizationId,
  role: Role.OPERATOR,
  spiffeId: `spiffe://${trustDomain}/user/${operatorId}`,
  authenticator: "operator-certificate",
};

/** A registered sandbox, with a client for each identity that its supervisor has in turn. */
export interface BenchSandbox {
  readonly sandboxId: string;
  readonly keys: KeyPair;
  readonly peer: Peer;
  /** As the supervisor with a bootstrap token of this id. */
  bootstrap(tokenId: string): Client<typeof AuthService>;
  /** As the supervisor in the pod with this uid. */
  pod(uid: string): Client<typeof AuthService>;
  /** As the enrolled supervisor with a session token of this id. */
  session(tokenId: string): Client<typeof AuthService>;
}

/** Registers a sandbox with a new name and key. */
export async function registerSandbox(bench: AuthBench, incarnation = 1n): Promise<BenchSandbox> {
  const sandboxId = newSandboxId();
  await bench.sandboxService.registerSandbox({
    sandboxId,
    name: sandboxId,
    organizationId,
    ownerUserId: operatorId,
    incarnation,
  });
  return describeSandbox(bench, sandboxId, incarnation, createKeyPair());
}

/** The same sandbox with another key or incarnation. */
export function describeSandbox(bench: AuthBench, sandboxId: string, incarnation: bigint, keys: KeyPair): BenchSandbox {
  const spiffeId = `spiffe://${trustDomain}/sandbox/${sandboxId}`;
  const peer: Peer = {
    kind: "sandbox",
    sandboxId,
    incarnation,
    spiffeId,
    keyThumbprint: keyThumbprint(keys.publicKey),
  };
  const who = { kind: "sandbox", sandboxId, organizationId, incarnation, spiffeId } as const;
  const principal = { ...who, keyId: "" } as const;
  return {
    sandboxId,
    keys,
    peer,
    bootstrap: (tokenId) =>
      bench.as({ principal: { ...principal, credential: "bootstrap", tokenId, authenticator: "bootstrap-token" } }),
    pod: (podUid) =>
      bench.as({
        principal: { ...who, credential: "service-account", podUid, authenticator: "kubernetes-service-account" },
      }),
    session: (tokenId) =>
      bench.as({ peer, principal: { ...principal, credential: "session", tokenId, authenticator: "sandbox-token" } }),
  };
}

/** Enrols a sandbox's key; answers its credentials and the id of its session token. */
export async function enrol(
  bench: AuthBench,
  sandbox: BenchSandbox,
  incarnation = 1n,
): Promise<{ credentials: SandboxCredentials; tokenId: string; bootstrapTokenId: string }> {
  const { token } = await bench.sandboxService.createBootstrapCredential({ sandboxId: sandbox.sandboxId, incarnation });
  const bootstrapTokenId = String(claimsOf(token).jti);
  const { credentials } = await sandbox.bootstrap(bootstrapTokenId).issueSandboxToken({
    sandboxId: sandbox.sandboxId,
    certificateSigningRequest: createCsr(sandbox.keys),
  });
  if (credentials === undefined) throw new Error("no credentials");
  return { credentials, tokenId: String(claimsOf(credentials.token).jti), bootstrapTokenId };
}

/** The claims of a token, unverified. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
}

/** The reason that a call was refused with; throws what is no refusal. */
export async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown.reason;
    throw thrown;
  }
}

export function newSandboxId(): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  const letters = crypto.getRandomValues(new Uint8Array(20));
  return `sbx-${Array.from(letters, (byte) => alphabet[byte % 32]).join("")}`;
}

/** What the pipeline does for a call, with the identity given instead of found out. */
function channelAs(module: AuthModule, identity: { readonly principal?: Principal; readonly peer?: Peer }) {
  const identify: Step = async (call) => {
    call.set(peerKey, identity.peer ?? { kind: "none" });
    if (identity.principal !== undefined) call.set(principalKey, identity.principal);
    const named = namedSandbox(call.method, call.request);
    const subject = named === undefined ? undefined : await module.subjects.findSandbox(named);
    if (subject !== undefined) grantSandboxScope(call, subject);
  };
  const pipelines = new Map(
    [Listener.MTLS, Listener.EDGE].map((listener) => [
      listener,
      new Pipeline({
        listener,
        services: module.services,
        steps: [identify],
        observe: ({ outcome, cause }) => {
          if (outcome === "INTERNAL") process.emitWarning(cause instanceof Error ? cause : String(cause));
        },
      }),
    ]),
  );
  const channels = new Map(
    [...pipelines].map(([listener, pipeline]) => [
      listener,
      createInProcessChannel({ pipeline: () => pipeline, peer: "", newCallId: () => crypto.randomUUID() }),
    ]),
  );
  const pick = (method: DescMethod) => {
    const [mtls, edge] = [channels.get(Listener.MTLS), channels.get(Listener.EDGE)];
    const isOnMtls = pipelines.get(Listener.MTLS)?.routes.has(`/${method.parent.typeName}/${method.name}`) === true;
    if (mtls === undefined || edge === undefined) throw new Error("no channel");
    return isOnMtls ? mtls : edge;
  };
  return {
    unary: (method, request, options) => pick(method).unary(method, request, options),
    serverStream: (method, request, options) => pick(method).serverStream(method, request, options),
    clientStream: (method, requests, options) => pick(method).clientStream(method, requests, options),
    bidiStream: (method, requests, options) => pick(method).bidiStream(method, requests, options),
    close: () => undefined,
  } satisfies Parameters<typeof createClient>[1];
}

function namedSandbox(method: DescMethod, request: object): string | undefined {
  if (method === AuthService.method.revokeSandbox) return "sandbox" in request ? String(request.sandbox) : undefined;
  return "sandboxId" in request ? String(request.sandboxId) : undefined;
}
