import { RevocationKind } from "@sandgate/api/auth";
import { tokenRules } from "@sandgate/identity";
import type { SqlClient } from "@sandgate/postgres";
import type { TrustChange } from "../domain/trust-change.ts";

const CLOCK_ALLOWANCE_MS = 300_000;

/** Ends the sessions of a user that have not ended, all or one; answers what everybody must be told. */
export async function endUserSessions(
  tx: SqlClient,
  which: { readonly userId: string; readonly sessionId?: string },
  now: number,
): Promise<readonly TrustChange[]> {
  const { rows } = await tx.query<{ id: string }>(
    `update user_sessions set end_time = $3
      where user_id = $1 and ($2::uuid is null or id = $2) and end_time is null
      returning id`,
    [which.userId, which.sessionId ?? null, new Date(now)],
  );
  return rows.map(({ id }) => sessionRevocation(id, now));
}

/** Says that a session or an API key has ended. It matters for as long as the last access token that it gave. */
export function sessionRevocation(id: string, now: number): TrustChange {
  return {
    kind: "revocation",
    revocationKind: RevocationKind.USER_SESSION,
    subject: id,
    expiresAtMs: now + tokenRules.user.maxLifeMs + CLOCK_ALLOWANCE_MS,
  };
}
