import { type ConnectionSettings, type Listener, listen, notify, type SqlClient } from "@sandgate/postgres";
import type { ChangeFeed } from "../feed/change-feed.ts";

const channel = "sandgate_policy";
const longestPayload = 7_999;

/** Tells the other replicas, once the transaction is committed, which topics changed. `replicaId` has no line break. */
export async function notifyReplicas(tx: SqlClient, replicaId: string, topics: readonly string[]): Promise<void> {
  const payload = [replicaId, ...topics].join("\n");
  await notify(tx, channel, Buffer.byteLength(payload) <= longestPayload ? payload : replicaId);
}

/** Announces what other replicas changed to this one's watchers, and everything when notifications may have been lost. */
export async function followReplicas(options: {
  readonly connection: ConnectionSettings;
  readonly feed: ChangeFeed;
  readonly replicaId: string;
  readonly logger?: { warn(fields: object, message: string): void };
}): Promise<Listener> {
  const { connection, feed, replicaId, logger } = options;
  return listen({
    connection,
    channel,
    onNotification(payload) {
      const [sender, ...topics] = payload.split("\n");
      if (sender === replicaId) return;
      if (topics.length === 0) feed.announceAll();
      else feed.announce(topics);
    },
    onReconnect: () => feed.announceAll(),
    ...(logger === undefined ? {} : { logger }),
  });
}
