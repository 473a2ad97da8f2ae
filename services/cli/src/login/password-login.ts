import { randomUUID } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { UserSession } from "@sandgate/api/auth";
import { ServiceError } from "@sandgate/rpc";
import type { LoginKind, PasswordLogin } from "./stored-login.ts";

/** Sessions that began with a password. */
export const passwordLogin: LoginKind<PasswordLogin> = {
  async refresh(login, { auth, signal }, keep) {
    // kept before it is sent: if the answer is lost, even with this process, only the same request may be made again
    const pending = { ...login, pendingRequestId: login.pendingRequestId ?? randomUUID() };
    if (login.pendingRequestId === undefined) keep(pending);
    const { session } = await auth.refreshUserSession(
      { refreshToken: pending.refreshToken, requestId: pending.pendingRequestId },
      { signal },
    );
    return toPasswordLogin(login.name, session);
  },
  async end(login, { auth, signal }, { everywhere }) {
    try {
      await auth.logout({ refreshToken: login.refreshToken, everywhere }, { signal });
    } catch (fault) {
      // a session that the server has forgotten is as good as ended
      if (!(fault instanceof ServiceError) || fault.reason !== "CREDENTIAL_REJECTED") throw fault;
    }
  },
};

/** A session as it is kept. */
export function toPasswordLogin(name: string, session: UserSession | undefined): PasswordLogin {
  if (session?.accessExpireTime === undefined || session.expireTime === undefined)
    throw new Error("the service answered without a session");
  return {
    kind: "password",
    name,
    accessToken: session.accessToken,
    accessExpiresAtMs: timestampMs(session.accessExpireTime),
    refreshToken: session.refreshToken,
    expiresAtMs: timestampMs(session.expireTime),
  };
}
