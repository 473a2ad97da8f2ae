import type { AuthService } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import type { DenialRecorder } from "@sandgate/identity";
import { formatSpiffeId } from "@sandgate/pki";
import type { Pool } from "@sandgate/postgres";
import type { Handlers } from "@sandgate/rpc";
import { newTokenId } from "./credentials/token-id.ts";
import { UserSessionIssuer } from "./credentials/user-session-issuer.ts";
import { acceptInvitation } from "./handlers/accept-invitation.ts";
import { changePassword } from "./handlers/change-password.ts";
import { createApiKey } from "./handlers/create-api-key.ts";
import { createOrganization } from "./handlers/create-organization.ts";
import { disableUser } from "./handlers/disable-user.ts";
import { enableUser } from "./handlers/enable-user.ts";
import { exchangeApiKey } from "./handlers/exchange-api-key.ts";
import { importUser } from "./handlers/import-user.ts";
import { inviteUser } from "./handlers/invite-user.ts";
import { listApiKeys } from "./handlers/list-api-keys.ts";
import { listInvitations } from "./handlers/list-invitations.ts";
import { listUsers } from "./handlers/list-users.ts";
import { login } from "./handlers/login.ts";
import { logout } from "./handlers/logout.ts";
import { refreshUserSession } from "./handlers/refresh-user-session.ts";
import { revokeApiKey } from "./handlers/revoke-api-key.ts";
import { setUserRole } from "./handlers/set-user-role.ts";
import { signUp } from "./handlers/sign-up.ts";
import { withdrawInvitation } from "./handlers/withdraw-invitation.ts";
import type { SigningKeys } from "./keys/signing-keys.ts";
import { LoginGate } from "./passwords/login-gate.ts";
import { PasswordHasher } from "./passwords/password-hasher.ts";
import { PostgresApiKeyStore } from "./store/postgres-api-key-store.ts";
import { PostgresLoginAttemptStore } from "./store/postgres-login-attempt-store.ts";
import { PostgresUserDirectory } from "./store/postgres-user-directory.ts";
import { PostgresUserSessionStore } from "./store/postgres-user-session-store.ts";
import { PostgresUserStore } from "./store/postgres-user-store.ts";
import type { TrustFeed } from "./trust/trust-feed.ts";

/** What can be set of accounts. */
export interface UserSettings {
  /** Whether anybody may make an organization of their own. */
  readonly isSignUpOpen: boolean;
  /** How long a login lasts, in milliseconds. */
  readonly sessionMs: number;
  /** How long an invitation can be accepted, in milliseconds. */
  readonly invitationMs: number;
}

type UserMethod =
  | "login"
  | "refreshUserSession"
  | "logout"
  | "changePassword"
  | "inviteUser"
  | "acceptInvitation"
  | "signUp"
  | "createOrganization"
  | "listInvitations"
  | "withdrawInvitation"
  | "listUsers"
  | "disableUser"
  | "enableUser"
  | "setUserRole"
  | "importUser"
  | "createApiKey"
  | "listApiKeys"
  | "revokeApiKey"
  | "exchangeApiKey";

/** The handlers of accounts, sessions, invitations and API keys, with the stores that they share. */
export function createUserHandlers(deps: {
  readonly pool: Pool;
  readonly audit: AuditLog;
  readonly keys: SigningKeys;
  readonly feed: TrustFeed;
  readonly recordDenial: DenialRecorder;
  readonly trustDomain: string;
  readonly users: UserSettings;
  readonly clock: () => number;
}): {
  readonly handlers: Pick<Handlers<typeof AuthService>, UserMethod>;
  /** Removes what has expired. */
  prune(now: number): Promise<void>;
} {
  const { pool, audit, feed, recordDenial, clock } = deps;
  const users = new PostgresUserStore({ pool, audit });
  const apiKeys = new PostgresApiKeyStore({ pool, audit });
  const directory = new PostgresUserDirectory({ pool, audit });
  const attempts = new PostgresLoginAttemptStore({ pool });
  const hasher = new PasswordHasher();
  const gate = new LoginGate({ users, attempts, hasher, audit, recordDenial, clock });
  const spiffeIdOf = (userId: string) => formatSpiffeId({ trustDomain: deps.trustDomain, kind: "user", name: userId });
  const store = new PostgresUserSessionStore({ pool, audit, spiffeIdOf });
  const sessions = new UserSessionIssuer({ ...deps, store, spiffeIdOf, lifeMs: deps.users.sessionMs, newTokenId });
  return {
    handlers: {
      login: login({ gate, hasher, users, sessions }),
      refreshUserSession: refreshUserSession({ store, sessions, feed, recordDenial, clock }),
      logout: logout({ store, feed, recordDenial, clock }),
      changePassword: changePassword({ gate, hasher, users, sessions, feed, clock }),
      inviteUser: inviteUser({ store: users, lifeMs: deps.users.invitationMs, clock }),
      acceptInvitation: acceptInvitation({ store: users, hasher, sessions, feed, recordDenial, clock }),
      signUp: signUp({ isOpen: deps.users.isSignUpOpen, gate, directory, hasher, sessions, feed, clock }),
      createOrganization: createOrganization({ directory, lifeMs: deps.users.invitationMs, clock }),
      listInvitations: listInvitations({ directory, clock }),
      withdrawInvitation: withdrawInvitation({ directory }),
      listUsers: listUsers({ directory }),
      disableUser: disableUser({ directory, feed, clock }),
      enableUser: enableUser({ directory, feed, clock }),
      setUserRole: setUserRole({ directory, feed, clock }),
      importUser: importUser({ directory, feed, clock }),
      createApiKey: createApiKey({ store: apiKeys, clock }),
      listApiKeys: listApiKeys({ store: apiKeys }),
      revokeApiKey: revokeApiKey({ store: apiKeys, feed, clock }),
      exchangeApiKey: exchangeApiKey({ ...deps, store: apiKeys, spiffeIdOf, newTokenId }),
    },
    prune: async (now) => {
      await Promise.all([users.prune(now), store.prune(now), attempts.prune(now), apiKeys.prune(now)]);
    },
  };
}
