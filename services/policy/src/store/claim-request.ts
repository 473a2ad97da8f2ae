import type { SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";

/** A request that carries a request_id. */
export interface IdentifiedRequest {
  readonly organizationId: string;
  readonly requestId: string;
  /** What a repeated request must have in common with this one. */
  readonly digest: Uint8Array;
  /** Whether the digest of the first request is that of this one. */
  isSame(digest: Buffer): boolean;
}

/** What a request was answered with: a revision, or a message. */
export interface StoredAnswer {
  readonly revision: bigint | null;
  readonly answer: Buffer | null;
}

/**
 * Takes a request id for this transaction. Answers what the same request was answered with before; undefined if this is the first time.
 * Throws REQUEST_ID_REUSED when another request has it.
 */
export async function claimRequest(
  tx: SqlClient,
  request: IdentifiedRequest | undefined,
  now: Date,
): Promise<StoredAnswer | undefined> {
  if (request === undefined) return undefined;
  const key = [request.organizationId, request.requestId];
  const claimed = await tx.query(
    `insert into requests (organization_id, request_id, digest, create_time) values ($1, $2, $3, $4) on conflict do nothing`,
    [...key, request.digest, now],
  );
  if (claimed.rowCount > 0) return undefined;
  const { rows } = await tx.query<StoredAnswer & { digest: Buffer }>(
    `select digest, revision, answer from requests where organization_id = $1 and request_id = $2`,
    key,
  );
  if (rows[0] === undefined || !request.isSame(rows[0].digest))
    throw new ServiceError("REQUEST_ID_REUSED", "the request id was used for another request");
  return rows[0];
}
