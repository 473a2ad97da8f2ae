import { readFileSync } from "node:fs";
import type { UserSubject } from "@sandgate/api/auth";
import { AuditLog } from "@sandgate/audit";
import {
  type Authenticator,
  BootstrapTokenAuthenticator,
  LocalOperatorAuthenticator,
  OidcProviders,
  type SandboxSockets,
} from "@sandgate/identity";
import { followCertificateAuthority } from "@sandgate/pki/authority";
import { type ConnectionSettings, openDatabase } from "@sandgate/postgres";
import type { Logger } from "@sandgate/telemetry";
import type * as z from "zod";
import { type authSettings, toLoginProviders, toOperatorRecords } from "./auth-config.ts";
import { type JwksServer, startJwksServer } from "./keys/jwks-server.ts";
import { openSigningKeys } from "./keys/signing-keys.ts";
import type { KubernetesSettings } from "./kubernetes/kubernetes-section.ts";
import { KubernetesServiceAccountAuthenticator } from "./kubernetes/kubernetes-service-account.ts";
import { PodIdentities } from "./kubernetes/pod-identities.ts";
import { type AuthModule, createAuthModule } from "./module.ts";
import type { AuthStore } from "./store/auth-store.ts";
import type { SandboxSessionStore } from "./store/sandbox-session-store.ts";
import type { SigningKeyStore } from "./store/signing-key-store.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** The settings of Auth, checked. */
export type AuthSettings = z.output<z.ZodObject<typeof authSettings>>;

/** Auth with all that it stands on, not started yet. */
export interface OpenAuth {
  readonly module: AuthModule;
  readonly audit: AuditLog;
  /** The authenticators that only the program with Auth in it has: those of supervisors that enrol first, the local operator last. */
  readonly authenticators: { readonly first: readonly Authenticator[]; readonly last: readonly Authenticator[] };
  /** For the listeners of this process. */
  readonly oidc: { readonly providers: OidcProviders; readonly registerUser: (token: string) => Promise<UserSubject> };
  /** Serves the key set and discovery, where the settings ask for it. Answers the address. */
  startJwks(tls: { readonly certificate_file: string; readonly key_file: string }): Promise<string | undefined>;
  /** Reads the authority's files, and the key set's certificate, again. */
  reloadCertificates(): Promise<void>;
  /** Ends what was opened here. The module must have been stopped. */
  close(): Promise<void>;
}

/** What a test puts around the parts of Auth. */
export interface AuthParts {
  readonly store?: (store: AuthStore) => AuthStore;
  readonly keyStore?: (store: SigningKeyStore) => SigningKeyStore;
  readonly sessionStore?: (store: SandboxSessionStore) => SandboxSessionStore;
}

/** Opens Auth's database, keys and authority, and builds its module. */
export async function openAuth(options: {
  readonly settings: AuthSettings;
  readonly connection: ConnectionSettings;
  readonly trustDomain: string;
  /** PEM, of operator certificates; looked at when one is entered or revoked. */
  readonly operatorAuthorityFile: string;
  readonly sockets: SandboxSockets;
  readonly parts?: AuthParts | undefined;
  readonly logger: Logger;
  readonly clock: () => number;
}): Promise<OpenAuth> {
  const { settings, connection, trustDomain, logger, clock } = options;
  const sandboxAuthority = await followCertificateAuthority({
    certificateFile: settings.sandbox_ca.certificate_file,
    keyFile: settings.sandbox_ca.key_file,
    onFault: (fault) => logger.warn({ err: fault }, "the authority of sandboxes could not be read again"),
  });
  const migrations = new URL("../migrations", import.meta.url);
  const pool = await openDatabase({ connection, service: "auth", migrations, logger });
  const audit = new AuditLog({ database: pool, clock });
  const keys = await openSigningKeys({
    pool,
    audit,
    directory: settings.key_directory,
    rotation: {
      maxAgeMs: settings.signing_keys.rotation_days * dayMs,
      publishMs: settings.signing_keys.publish_seconds * 1000,
    },
    workloadAlgorithm: settings.workload_tokens.algorithm,
    aroundStore: options.parts?.keyStore,
    clock,
  });
  const oidc = new OidcProviders({
    settings: settings.oidc,
    clock,
    onFault: (fault, provider) =>
      logger.warn({ err: fault, provider }, "the keys of an OpenID provider cannot be read"),
  });
  const pods = settings.kubernetes && (await openPods(settings.kubernetes, { logger, clock }));
  const module = createAuthModule({
    pool,
    connection,
    audit,
    keys,
    sandboxAuthority,
    operatorAuthorities: () => readFileSync(options.operatorAuthorityFile, "utf8"),
    trustDomain,
    lives: {
      sessionMs: settings.lives.session_minutes * minuteMs,
      certificateMs: settings.lives.certificate_minutes * minuteMs,
      workloadMs: settings.workload_tokens.life_seconds * 1000,
    },
    containerTokens: {
      audiences: settings.container_token_audiences,
      defaultLifeMs: settings.lives.egress_minutes * minuteMs,
      mayBeUnenforced: settings.development?.unenforced_container_tokens === true,
    },
    operators: toOperatorRecords(settings.operators),
    users: {
      sessionMs: settings.users.session_days * dayMs,
      isSignUpOpen: settings.users.sign_up === "open",
      invitationMs: settings.users.invitation_days * dayMs,
    },
    oidc,
    pods,
    loginProviders: toLoginProviders(settings.oidc),
    sockets: options.sockets,
    aroundStore: options.parts?.store,
    aroundSessionStore: options.parts?.sessionStore,
    logger,
    clock,
  });
  const deps = { trust: module.trust, register: module.subjects, trustDomain, clock };
  const [firstOperator] = settings.operators;
  const isLocal = settings.development?.local_operator === true && firstOperator !== undefined;
  if (isLocal) logger.warn("development: callers of the edge without a credential count as the first operator");
  let jwks: JwksServer | undefined;
  return {
    module,
    audit,
    authenticators: {
      first: [
        ...(pods === undefined ? [] : [new KubernetesServiceAccountAuthenticator({ ...deps, pods })]),
        new BootstrapTokenAuthenticator(deps),
      ],
      last: isLocal ? [new LocalOperatorAuthenticator({ ...deps, userId: firstOperator.id })] : [],
    },
    oidc: { providers: oidc, registerUser: module.registerOidcUser },
    startJwks: async (tls) => {
      if (settings.jwks === undefined) return undefined;
      jwks = await startJwksServer({
        address: settings.jwks.address,
        certificateFile: tls.certificate_file,
        keyFile: tls.key_file,
        trustDomain,
        jwksJson: () => keys.publishedJwksJson,
        onFault: (fault) => logger.warn({ err: fault }, "the key set's certificate could not be read again"),
      });
      return jwks.address;
    },
    reloadCertificates: async () => {
      await Promise.all([sandboxAuthority.reload(), jwks?.reload()]);
    },
    close: async () => {
      await jwks?.stop();
      sandboxAuthority.close();
      await audit.close();
      await pool.close();
    },
  };
}

/** The cluster's pods. Its client is large: only who has a cluster loads it. */
async function openPods(
  settings: KubernetesSettings,
  { logger, clock }: { readonly logger: Logger; readonly clock: () => number },
): Promise<PodIdentities> {
  const { openApiServer } = await import("./kubernetes/api-server.ts");
  return new PodIdentities({
    settings,
    cluster: openApiServer(settings),
    clock,
    onFault: (fault) => logger.warn({ err: fault }, "the cluster's API server does not answer as it should"),
  });
}
