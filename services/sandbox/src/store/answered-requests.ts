import type { SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import type { MutationRequest } from "./sandbox-store.ts";

/** Makes the request this transaction's to answer; answers what was answered the first time if it was. */
export async function claimRequest(
  tx: SqlClient,
  request: MutationRequest,
  nowMs: number,
): Promise<Uint8Array | undefined> {
  const key = [request.organizationId, request.method, request.requestId];
  const claimed = await tx.query(
    `insert into requests (organization_id, method, request_id, content_hash, answer, create_time)
     values ($1, $2, $3, $4, '', $5) on conflict do nothing returning request_id`,
    [...key, request.contentHash, new Date(nowMs)],
  );
  if (claimed.rowCount === 1) return undefined;
  const answer = await recallAnswer(tx, request);
  if (answer === undefined) throw new ServiceError("UNAVAILABLE", "the request is too old to be repeated");
  return answer;
}

/** What was answered to a request the first time; undefined if it never was. Throws REQUEST_ID_REUSED. */
export async function recallAnswer(sql: SqlClient, request: MutationRequest): Promise<Uint8Array | undefined> {
  const { rows } = await sql.query<{ content_hash: Buffer; answer: Buffer }>(
    "select content_hash, answer from requests where organization_id = $1 and method = $2 and request_id = $3",
    [request.organizationId, request.method, request.requestId],
  );
  const known = rows[0];
  if (known === undefined) return undefined;
  if (!known.content_hash.equals(request.contentHash))
    throw new ServiceError("REQUEST_ID_REUSED", "the request id was used for a different request", {
      field: "request_id",
    });
  return known.answer;
}

/** Keeps the answer to a request that this transaction has claimed. */
export async function storeAnswer(tx: SqlClient, request: MutationRequest, answer: Uint8Array): Promise<Uint8Array> {
  await tx.query("update requests set answer = $4 where organization_id = $1 and method = $2 and request_id = $3", [
    request.organizationId,
    request.method,
    request.requestId,
    answer,
  ]);
  return answer;
}
