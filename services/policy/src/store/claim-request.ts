import type { SandboxScope } from "@sandgate/identity";
import type { SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import type { RequestClaim } from "./proposal-store.ts";

/** A request that carries a request_id. */
export interface IdentifiedRequest {
  readonly organizationId: string;
  readonly requestId: string;
  /** What a repeated request must have in common with this one. */
  readonly digest: Uint8Array;
  /** Whether the digest of the first request is that of this one. */
  isSame(digest: Buffer): boolean;
}

/** A request about a sandbox, which is the same when its digest is. */
export function identifyRequest(
  { organizationId }: SandboxScope,
  { requestId, digest }: RequestClaim,
): IdentifiedRequest {
  return { organizationId, requestId, digest, isSame: (first) => first.equals(digest) };
}

/** What a request was answered with: a revision, or a message. */
export interface StoredAnswer {
  readonly revision: bigint | null;
  readonly answer: Buffer | null;
}

/**
 * Takes a request id for this transaction, whose effect then answers it; waits for another that has taken it. Undefined if this is the first
 * time, or if there is no id; else what it was answered with. Throws REQUEST_ID_REUSED for the id of another request.
 */
export async function claimRequest(
  tx: SqlClient,
  request: IdentifiedRequest | undefined,
  now: Date,
): Promise<StoredAnswer | undefined> {
  if (request === undefined) return undefined;
  const claimed = await tx.query(
    `insert into requests (organization_id, request_id, digest, create_time) values ($1, $2, $3, $4) on conflict do nothing`,
    [request.organizationId, request.requestId, request.digest, now],
  );
  return claimed.rowCount > 0 ? undefined : findAnswer(tx, request);
}

/** What a request was answered with; undefined if it was not. Throws REQUEST_ID_REUSED for the id of another request. */
export async function findAnswer(client: SqlClient, request: IdentifiedRequest): Promise<StoredAnswer | undefined> {
  const { rows } = await client.query<StoredAnswer & { digest: Buffer }>(
    `select digest, revision, answer from requests where organization_id = $1 and request_id = $2`,
    [request.organizationId, request.requestId],
  );
  const [row] = rows;
  if (row !== undefined && !request.isSame(row.digest))
    throw new ServiceError("REQUEST_ID_REUSED", "the request id was used for another request");
  return row;
}
