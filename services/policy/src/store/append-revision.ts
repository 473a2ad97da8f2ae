import { fromBinary } from "@bufbuild/protobuf";
import { PolicySchema } from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import { providersOf } from "@sandgate/policy";
import type { SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import type { PolicyAuthor } from "./policy-store.ts";
import { grantProviders } from "./provider-grants.ts";

/**
 * Makes a policy the sandbox's newest revision, and its providers those that it may use. No other is made until the commit.
 * Throws POLICY_REVISION_STALE, and SANDBOX_NOT_FOUND for a retired sandbox.
 */
export async function appendRevision(
  tx: SqlClient,
  scope: SandboxScope,
  change: { readonly policy: Uint8Array; readonly expectedRevision: bigint | undefined },
  author: PolicyAuthor,
  createTime: Date,
): Promise<bigint> {
  const counter = await tx.query<{ position: bigint }>(
    `update change_counters set position = position + 1 where stream = 'policies' returning position`,
  );
  const { rows } = await tx.query<{ revision: bigint; retired: boolean }>(
    `select revision, retire_time is not null as retired from current_policies where sandbox_id = $1`,
    [scope.sandboxId],
  );
  if (rows[0]?.retired === true)
    throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: scope.sandboxId });
  const newest = rows[0]?.revision ?? 0n;
  if (change.expectedRevision !== undefined && change.expectedRevision !== newest)
    throw new ServiceError("POLICY_REVISION_STALE", "the policy was changed meanwhile", { revision: String(newest) });
  await tx.query(
    `insert into policy_revisions (sandbox_id, revision, policy, author, create_time) values ($1, $2, $3, $4, $5)`,
    [scope.sandboxId, newest + 1n, change.policy, author.principal, createTime],
  );
  await tx.query(
    `insert into current_policies (sandbox_id, organization_id, revision, version) values ($1, $2, $3, $4)
     on conflict (sandbox_id) do update set revision = excluded.revision, version = excluded.version`,
    [scope.sandboxId, scope.organizationId, newest + 1n, counter.rows[0]?.position],
  );
  await grantProviders(tx, scope, providersOf(fromBinary(PolicySchema, change.policy)));
  return newest + 1n;
}
