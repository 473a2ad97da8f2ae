import { AuthService, type LoginProvider, type UserSubject } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import {
  createDenialRecorder,
  followTrust,
  type OidcProviders,
  RemoteSubjectRegister,
  type SandboxSockets,
  type SubjectRegister,
  TrustState,
} from "@sandgate/identity";
import type { CertificateAuthority } from "@sandgate/pki/authority";
import { type ConnectionSettings, type Listener, listen, type Pool } from "@sandgate/postgres";
import { implement, type ServiceImplementation } from "@sandgate/rpc";
import { background, type Logger } from "@sandgate/telemetry";
import { CredentialIssuer, type CredentialLives } from "./credentials/credential-issuer.ts";
import { createOidcUserEntry } from "./credentials/oidc-user-entry.ts";
import { newTokenId } from "./credentials/token-id.ts";
import type { ContainerTokenRules } from "./domain/container-token-plan.ts";
import type { OperatorRecord } from "./domain/operator-record.ts";
import { createBootstrapCredential } from "./handlers/create-bootstrap-credential.ts";
import { createExchangePermit } from "./handlers/create-exchange-permit.ts";
import { createUserToken } from "./handlers/create-user-token.ts";
import { endIncarnation } from "./handlers/end-incarnation.ts";
import { exchangeToken } from "./handlers/exchange-token.ts";
import { getPrincipal } from "./handlers/get-principal.ts";
import { getSandboxSession } from "./handlers/get-sandbox-session.ts";
import { issueEgressToken } from "./handlers/issue-egress-token.ts";
import { issueSandboxToken } from "./handlers/issue-sandbox-token.ts";
import { listAuditEvents } from "./handlers/list-audit-events.ts";
import { listLoginProviders } from "./handlers/list-login-providers.ts";
import { listOperatorCertificates } from "./handlers/list-operator-certificates.ts";
import { listSandboxSessions } from "./handlers/list-sandbox-sessions.ts";
import { listSigningKeys } from "./handlers/list-signing-keys.ts";
import { refreshSandboxToken } from "./handlers/refresh-sandbox-token.ts";
import { registerOidcUser } from "./handlers/register-oidc-user.ts";
import { registerOperatorCertificate } from "./handlers/register-operator-certificate.ts";
import { registerSandbox } from "./handlers/register-sandbox.ts";
import { rejoinSandbox } from "./handlers/rejoin-sandbox.ts";
import { resealSigningKeys } from "./handlers/reseal-signing-keys.ts";
import { resolveSandbox } from "./handlers/resolve-sandbox.ts";
import { resolveUser } from "./handlers/resolve-user.ts";
import { retireSandbox } from "./handlers/retire-sandbox.ts";
import { revokeOperatorCertificates } from "./handlers/revoke-operator-certificates.ts";
import { revokeSandbox } from "./handlers/revoke-sandbox.ts";
import { revokeSandboxSessions } from "./handlers/revoke-sandbox-sessions.ts";
import { revokeSigningKey } from "./handlers/revoke-signing-key.ts";
import { rotateSigningKeys } from "./handlers/rotate-signing-keys.ts";
import { verifyAuditLog } from "./handlers/verify-audit-log.ts";
import { watchTrust } from "./handlers/watch-trust.ts";
import type { SigningKeyRing } from "./keys/signing-keys.ts";
import type { PodIdentities } from "./kubernetes/pod-identities.ts";
import type { AuthStore } from "./store/auth-store.ts";
import { PostgresAuthStore } from "./store/postgres-auth-store.ts";
import { PostgresOidcUserStore } from "./store/postgres-oidc-user-store.ts";
import { PostgresOperatorCertificateStore } from "./store/postgres-operator-certificate-store.ts";
import { PostgresSandboxSessionStore } from "./store/postgres-sandbox-session-store.ts";
import type { SandboxSessionStore } from "./store/sandbox-session-store.ts";
import { createOwnRegisterClient } from "./trust/own-register.ts";
import { TrustFeed } from "./trust/trust-feed.ts";
import { createUserHandlers, type UserSettings } from "./user-handlers.ts";

const MAINTENANCE_MS = 60_000;

/** What the Auth service is made of. */
export interface AuthModuleDeps {
  /** Of the role and schema `auth`, whose migrations have run. */
  readonly pool: Pool;
  /** Where that database is, for the connection that notifications come on. */
  readonly connection: ConnectionSettings;
  /** In the schema `auth`. */
  readonly audit: AuditLog;
  readonly keys: SigningKeyRing;
  readonly sandboxAuthority: CertificateAuthority;
  /** The authorities of operator certificates at this moment, PEM. */
  readonly operatorAuthorities: () => string;
  readonly trustDomain: string;
  readonly lives: CredentialLives & { readonly workloadMs: number };
  readonly containerTokens: ContainerTokenRules;
  readonly operators: readonly OperatorRecord[];
  readonly users: UserSettings;
  /** Started and stopped with the module. */
  readonly oidc: Pick<OidcProviders, "verify" | "start" | "stop" | "checks">;
  /** Started and stopped with the module; undefined: no cluster's pods may enrol. */
  readonly pods?: Pick<PodIdentities, "start" | "stop" | "checks"> | undefined;
  /** Where command lines can log in. */
  readonly loginProviders: readonly LoginProvider[];
  readonly sockets: SandboxSockets;
  /** Puts something around the store that everything here uses. */
  readonly aroundStore?: ((store: AuthStore) => AuthStore) | undefined;
  readonly aroundSessionStore?: ((store: SandboxSessionStore) => SandboxSessionStore) | undefined;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** The Auth service, ready to be mounted. */
export interface AuthModule {
  readonly services: readonly ServiceImplementation[];
  /** What this service itself trusts, fed by its own change log: for the pipelines of this process. */
  readonly trust: TrustState;
  /** The register, read through a cache that `trust` keeps true: for the pipelines of this process. */
  readonly subjects: SubjectRegister;
  /** Enters the user of an OpenID provider's token into the register, for the pipelines of this process. */
  registerOidcUser(token: string): Promise<UserSubject>;
  /** Enters the operators, has signing keys, follows the change log, and opens the sockets of all living sandboxes. */
  start(): Promise<void>;
  /** Ends all streams with UNAVAILABLE, and what `start` began. */
  stop(): Promise<void>;
  readonly checks: Readonly<Record<string, () => void | Promise<void>>>;
}

/** Builds the Auth service. Nothing runs before `start`. */
export function createAuthModule(deps: AuthModuleDeps): AuthModule {
  const { pool, audit, keys, trustDomain, sockets, logger, clock } = deps;
  const ownStore = new PostgresAuthStore({ pool, audit });
  const store = deps.aroundStore?.(ownStore) ?? ownStore;
  const ownSessions = new PostgresSandboxSessionStore({ pool, audit });
  const sessions = deps.aroundSessionStore?.(ownSessions) ?? ownSessions;
  const feed = new TrustFeed({
    store,
    loadKeys: async () => {
      await keys.load();
      return keys.jwksJson;
    },
    clock,
    onFault: (fault) => logger.warn({ err: fault }, "the change log of trust could not be read"),
  });
  const trust = new TrustState({ clock });
  const denials = createDenialRecorder({ record: (record) => audit.record(record), clock });
  const recordDenial = denials.record;
  const issuer = new CredentialIssuer({
    authority: deps.sandboxAuthority,
    keys,
    trustDomain,
    lives: deps.lives,
    clock,
    newTokenId,
  });
  const users = createUserHandlers({ ...deps, feed, recordDenial });
  const spiffeId = `spiffe://${trustDomain}/service/auth`;
  const certificates = new PostgresOperatorCertificateStore({ pool, audit });
  const operatorAuthority = { bundle: deps.operatorAuthorities, trustDomain };
  const enterOidcUser = createOidcUserEntry({
    oidc: deps.oidc,
    store: new PostgresOidcUserStore({ pool, audit }),
    feed,
    trustDomain,
    clock,
  });
  const handlers = {
    ...users.handlers,
    registerSandbox: registerSandbox({ store, feed, sockets, clock }),
    retireSandbox: retireSandbox({ store, feed, sockets, clock }),
    endIncarnation: endIncarnation({ store, feed, clock }),
    createBootstrapCredential: createBootstrapCredential({ store, keys, trustDomain, clock, newTokenId }),
    issueSandboxToken: issueSandboxToken({ store, issuer, feed, recordDenial, clock }),
    refreshSandboxToken: refreshSandboxToken({ store, issuer, feed, recordDenial, clock }),
    rejoinSandbox: rejoinSandbox({ store, issuer, feed, recordDenial, clock }),
    createExchangePermit: createExchangePermit({ store, keys, trustDomain, clock, newTokenId }),
    exchangeToken: exchangeToken({
      permitKeys: trust,
      keys,
      audit,
      recordDenial,
      trustDomain,
      lifeMs: deps.lives.workloadMs,
      clock,
      newTokenId,
    }),
    issueEgressToken: issueEgressToken({
      store,
      sessions,
      keys,
      trustDomain,
      rules: deps.containerTokens,
      clock,
      newTokenId,
    }),
    listSandboxSessions: listSandboxSessions({ store, sessions, clock }),
    getSandboxSession: getSandboxSession({ sessions, clock }),
    revokeSandboxSessions: revokeSandboxSessions({ store, sessions, feed, clock }),
    revokeSandbox: revokeSandbox({ store, feed, clock }),
    resolveSandbox: resolveSandbox({ store }),
    resolveUser: resolveUser({ store }),
    listLoginProviders: listLoginProviders({ providers: deps.loginProviders }),
    registerOidcUser: registerOidcUser({ enterOidcUser }),
    watchTrust: watchTrust({ feed }),
    createUserToken: createUserToken({ keys, audit, trustDomain, clock, newTokenId }),
    getPrincipal: getPrincipal({ store }),
    listAuditEvents: listAuditEvents({ audit }),
    verifyAuditLog: verifyAuditLog({ audit }),
    listSigningKeys: listSigningKeys({ keys, clock }),
    rotateSigningKeys: rotateSigningKeys({ keys, feed, clock }),
    revokeSigningKey: revokeSigningKey({ keys, feed, clock }),
    resealSigningKeys: resealSigningKeys({ keys }),
    registerOperatorCertificate: registerOperatorCertificate({ certificates, feed, operatorAuthority, clock }),
    listOperatorCertificates: listOperatorCertificates({ certificates }),
    revokeOperatorCertificates: revokeOperatorCertificates({ certificates, feed, operatorAuthority, clock }),
  };
  const subjects = new RemoteSubjectRegister({ client: createOwnRegisterClient(store), trust });
  const self = { principal: spiffeId, peer: spiffeId };
  const following = new AbortController();
  let followed: Promise<void> | undefined;
  let listener: Listener | undefined;
  let timer: NodeJS.Timeout | undefined;

  const follow = (): Promise<void> =>
    followTrust({
      client: {
        watchTrust: ({ afterSequence = 0n }, options) =>
          feed.watch(afterSequence, AbortSignal.any([following.signal, ...(options?.signal ? [options.signal] : [])])),
      },
      state: trust,
      signal: following.signal,
      onFault: (fault) => logger.warn({ err: fault }, "the own trust stream broke off"),
    });

  return {
    services: [implement(AuthService, handlers)],
    trust,
    subjects,
    registerOidcUser: (token) => enterOidcUser(token, spiffeId),
    async start() {
      deps.oidc.start();
      deps.pods?.start();
      await store.replaceOperators(deps.operators, clock(), self);
      await keys.start({ ...self, organizationId: "" });
      listener = await listen({
        connection: deps.connection,
        channel: "auth_trust",
        onNotification: () => feed.wake(),
        onReconnect: () => feed.wake(),
        logger,
      });
      await feed.start();
      const isCurrent = new Promise<void>((resolve) => {
        const stop = trust.onChange(() => {
          stop();
          resolve();
        });
      });
      followed = follow();
      await isCurrent;
      await openSockets(await store.listLivingSandboxIds(), sockets, logger);
      timer = setInterval(() => {
        const pruning = Promise.all([store.prune(clock()), users.prune(clock()), sessions.prune(clock())]);
        background(pruning, logger, "what has expired could not be removed");
        background(
          keys.maintain({ ...self, organizationId: "" }),
          logger,
          "the signing keys could not be looked after",
        );
      }, MAINTENANCE_MS).unref();
    },
    async stop() {
      clearInterval(timer);
      following.abort();
      await deps.oidc.stop();
      await deps.pods?.stop();
      await feed.stop();
      await followed;
      await listener?.close();
      await denials.stop();
    },
    checks: {
      database: () => pool.check(),
      trust: () => feed.check(),
      ...deps.oidc.checks,
      ...deps.pods?.checks,
    },
  };
}

async function openSockets(sandboxIds: readonly string[], sockets: SandboxSockets, logger: Logger): Promise<void> {
  for (const sandboxId of sandboxIds)
    try {
      await sockets.open(sandboxId);
    } catch (fault) {
      // one sandbox whose directory is gone must not keep the others waiting; Sandbox repairs or retires it
      logger.warn({ err: fault, sandbox_id: sandboxId }, "the sockets of a sandbox could not be opened");
    }
}
