import type { SandboxScope } from "@sandgate/identity";
import type { SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import type { RequestClaim } from "./proposal-store.ts";

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
  scope: SandboxScope,
  claim: RequestClaim | undefined,
  createTime: Date,
): Promise<StoredAnswer | undefined> {
  if (claim === undefined) return undefined;
  const claimed = await tx.query(
    `insert into requests (organization_id, request_id, digest, create_time) values ($1, $2, $3, $4) on conflict do nothing`,
    [scope.organizationId, claim.requestId, claim.digest, createTime],
  );
  return claimed.rowCount > 0 ? undefined : findAnswer(tx, scope, claim);
}

/** What a request was answered with; undefined if it was not. Throws REQUEST_ID_REUSED for the id of another request. */
export async function findAnswer(
  client: SqlClient,
  scope: SandboxScope,
  claim: RequestClaim,
): Promise<StoredAnswer | undefined> {
  const { rows } = await client.query<StoredAnswer & { digest: Buffer }>(
    `select digest, revision, answer from requests where organization_id = $1 and request_id = $2`,
    [scope.organizationId, claim.requestId],
  );
  const [row] = rows;
  if (row !== undefined && !row.digest.equals(claim.digest))
    throw new ServiceError("REQUEST_ID_REUSED", "the request id was used for another request");
  return row;
}
