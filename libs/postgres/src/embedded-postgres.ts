import type { ConnectionSettings } from "./connection-settings.ts";

/** Where an embedded server keeps its things and how it runs. */
export interface EmbeddedPostgresOptions {
  /** Made if it is missing; belongs to the server's uid, mode 0700. */
  readonly dataDirectory: string;
  /** Must exist. The socket is made in `<runtimeDirectory>/postgres`, which only the server's uid (and root) can enter. */
  readonly runtimeDirectory: string;
  /** As root: the unprivileged uid and gid that the server runs with. Default 65531. Ignored otherwise. */
  readonly uid?: number;
  /** "independent" (default): lives until `stop`. "starter": also ends with the process that started it. */
  readonly lifetime?: "independent" | "starter";
  /** Default true. Without it a power loss destroys the data: for tests. */
  readonly durable?: boolean;
  /** Default 50. */
  readonly maxConnections?: number;
  readonly logger?: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}

/** A running embedded server. */
export interface EmbeddedPostgres {
  /** The admin's way in: database `sandgate`, host is the socket directory. */
  readonly connection: Exclude<ConnectionSettings, { url: string }>;
  readonly pid: number;
  /** Disconnects everyone, writes a checkpoint and ends the server. Idempotent. */
  stop(): Promise<void>;
}

/** Why the embedded server cannot be had on this machine; programs print it and exit with 2. */
export class EmbeddedPostgresError extends Error {
  override readonly name = "EmbeddedPostgresError";
  readonly exitCode = 2;
}

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  throw new EmbeddedPostgresError(`cannot start in ${options.dataDirectory}`);
}
