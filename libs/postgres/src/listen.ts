import { randomInt } from "node:crypto";
import pg from "pg";
import { type ConnectionSettings, defaultTimeouts, toClientConfig } from "./connection-settings.ts";
import type { SqlClient } from "./sql-client.ts";

/** What `listen` needs to know. */
export interface ListenOptions {
  readonly connection: ConnectionSettings;
  /** A lower-case word; begin it with the service's name, channels are shared by the whole database. */
  readonly channel: string;
  readonly onNotification: (payload: string) => void;
  /**
   * Called each time listening has begun again after a lost connection. What was sent in between is lost, so read the tables
   * again here.
   */
  readonly onReconnect: () => void;
  readonly logger?: { warn(fields: object, message: string): void };
  /** How often the connection is proved alive. Default 15,000. */
  readonly heartbeatMs?: number;
}

/** A subscription to a channel. */
export interface Listener {
  /** Ends it; no callback is called afterwards. Idempotent. */
  close(): Promise<void>;
}

/** Sends a notification; within a transaction it goes out at the commit and not at all after a rollback. At most 7,999 bytes. */
export async function notify(client: SqlClient, channel: string, payload: string): Promise<void> {
  await client.query("select pg_notify($1, $2)", [channel, payload]);
}

/**
 * Listens on a channel with a connection of its own, and reconnects for ever. Resolves once listening has begun, so that what is
 * read from the tables afterwards plus what is notified has no gap; rejects if the first connection fails.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(options.channel)) throw new TypeError("channel names are lower-case words");
  const heartbeatMs = options.heartbeatMs ?? 15_000;
  let closed = false;
  let current: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;

  const begin = async (onLost: (error?: unknown) => void): Promise<void> => {
    const client = new pg.Client(
      toClientConfig(options.connection, undefined, { ...defaultTimeouts, statementMs: 5_000, idleInTransactionMs: 0 }),
    );
    let lost = false;
    const lose = (error?: unknown) => {
      if (lost) return;
      lost = true;
      clearTimeout(timer);
      client.end().catch(() => {}); // it is broken already
      onLost(error);
    };
    client.on("error", lose);
    client.on("end", () => lose());
    client.on("notification", ({ payload }) => {
      if (!closed && !lost) options.onNotification(payload ?? "");
    });
    current = client;
    try {
      await client.connect();
      await client.query(`listen ${options.channel}`);
    } catch (error) {
      lost = true;
      client.end().catch(() => {});
      throw error;
    }
    const beat = () => {
      timer = setTimeout(() => {
        client.query("select 1").then(beat, lose);
      }, heartbeatMs);
    };
    if (lost) return;
    beat();
  };

  const reconnect = (error?: unknown): void => {
    if (closed) return;
    if (failures === 0) options.logger?.warn({ err: error, channel: options.channel }, "notifications interrupted");
    failures += 1;
    const delayMs = randomInt(10, Math.min(5_000, 50 * 2 ** Math.min(failures, 10)));
    timer = setTimeout(() => {
      begin(reconnect).then(
        () => {
          if (closed) return;
          failures = 0;
          options.onReconnect();
        },
        (cause: unknown) => reconnect(cause),
      );
    }, delayMs);
  };

  await begin(reconnect);
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await current?.end().catch(() => {});
    },
  };
}
