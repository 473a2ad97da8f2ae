import type { SqlClient } from "@sandgate/postgres";

/** Nobody else can add to what an organization has until the transaction ends. Count with a statement that begins afterwards. */
export async function lockOrganization(tx: SqlClient, organizationId: string): Promise<void> {
  await tx.query(
    `insert into quota_locks (organization_id) values ($1)
     on conflict (organization_id) do update set organization_id = excluded.organization_id`,
    [organizationId],
  );
}
