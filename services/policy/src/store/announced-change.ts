import type { AuditLog, AuditRecord } from "@sandgate/audit";
import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { notifyReplicas } from "./notifications.ts";

/** What changes of the store are made with. */
export interface ChangeDeps {
  readonly pool: Pool;
  readonly audit: AuditLog;
  readonly feed: Pick<ChangeFeed, "announce">;
  readonly replicaId: string;
}

/** What one transaction did. */
export interface Effect<T> {
  /** The topics whose watchers have something new to read. */
  readonly changed: readonly string[];
  readonly audit?: AuditRecord;
  readonly result: T;
}

/** Runs one transaction and tells every replica's watchers what it changed: the others by NOTIFY, ours at once. */
export async function announcedChange<T>(deps: ChangeDeps, run: (tx: SqlClient) => Promise<Effect<T>>): Promise<T> {
  const { changed, result } = await withTransaction(deps.pool, async (tx) => {
    const effect = await run(tx);
    if (effect.changed.length > 0) await notifyReplicas(tx, deps.replicaId, effect.changed);
    if (effect.audit !== undefined) await deps.audit.append(tx, effect.audit);
    return effect;
  });
  deps.feed.announce(changed);
  return result;
}
