import type { UserSession } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { Principal } from "@sandgate/identity";
import type { AuthBench } from "./auth-bench.contract.ts";
import { adminId, organizationId, trustDomain } from "./auth-bench.contract.ts";

/** A password that may be chosen. */
export const password = "correct horse battery";

/** The bench's administrator, by certificate. */
export const admin: Extract<Principal, { kind: "user" }> = {
  kind: "user",
  userId: adminId,
  organizationId,
  role: Role.ADMIN,
  spiffeId: `spiffe://${trustDomain}/user/${adminId}`,
  authenticator: "operator-certificate",
};

/** Auth as somebody without a credential sees it. */
export const asNobody = (bench: AuthBench) => bench.as({ principal: { kind: "anonymous", authenticator: "none" } });

/** Auth as an administrator of the bench's organization sees it. */
export const asAdmin = (bench: AuthBench) => bench.as({ principal: admin });

/** Auth as the user of a session sees it. */
export const asUser = (bench: AuthBench, session: UserSession, role: Role = session.user?.role ?? Role.VIEWER) =>
  bench.as({
    principal: {
      kind: "user",
      userId: session.user?.userId ?? "",
      organizationId: session.user?.organizationId ?? "",
      role,
      sessionId: session.sessionId,
      spiffeId: `spiffe://${trustDomain}/user/${session.user?.userId}`,
      authenticator: "user-session",
    },
  });

let count = 0;

/** A login name that nobody has. */
export function newLogin(): string {
  count += 1;
  return `user-${count}-${crypto.randomUUID().slice(0, 8)}@example.test`;
}

/** A user of the bench's organization, who has accepted an invitation, and their first session. */
export async function createUser(
  bench: AuthBench,
  role: Role = Role.OPERATOR,
): Promise<{ readonly login: string; readonly session: UserSession }> {
  const login = newLogin();
  const { token } = await asAdmin(bench).inviteUser({ login, role });
  const session = sessionIn(await asNobody(bench).acceptInvitation({ token, password }));
  return { login, session };
}

/** The session of an answer. */
export function sessionIn(answer: { readonly session?: UserSession | undefined }): UserSession {
  if (answer.session === undefined) throw new Error("no session");
  return answer.session;
}

/** Actions of the audit log about a user, oldest first, from `listAuditEvents`. */
export async function auditedAbout(bench: AuthBench, userId: string): Promise<readonly string[]> {
  const { events } = await bench.audit.list({ organizationId, pageSize: 1_000, pageToken: "" });
  return events
    .filter(({ details }) => details["user_id"] === userId)
    .map(({ action }) => action)
    .reverse();
}
