import { RevocationKind } from "@sandgate/api/auth";
import type { SqlClient } from "@sandgate/postgres";
import type { TrustChange } from "../domain/trust-change.ts";

/** So long after its expiry a token may still be taken somewhere whose clock is behind. */
export const CLOCK_ALLOWANCE_MS = 60_000;

/** Ends every live session of a sandbox, as a part of the transaction that ends or revokes it; answers what to tell others (D-10). */
export async function endSandboxSessions(
  tx: SqlClient,
  sandboxId: string,
  now: number,
): Promise<readonly TrustChange[]> {
  const { rows } = await tx.query<EndedRow>(
    `update sandbox_sessions set revoke_time = $2
      where sandbox_id = $1 and revoke_time is null and expire_time > $3
      returning token_id, expire_time`,
    [sandboxId, new Date(now), new Date(now - CLOCK_ALLOWANCE_MS)],
  );
  return rows.map(tokenRevocation);
}

/** What is read of a session that has ended. */
export interface EndedRow {
  readonly token_id: string;
  readonly expire_time: Date;
}

/** What everyone is told of it. */
export function tokenRevocation({ token_id, expire_time }: EndedRow): TrustChange {
  return {
    kind: "revocation",
    revocationKind: RevocationKind.TOKEN,
    subject: token_id,
    expiresAtMs: expire_time.getTime() + CLOCK_ALLOWANCE_MS,
  };
}
