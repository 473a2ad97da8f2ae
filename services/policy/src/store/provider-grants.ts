import { randomBytes } from "node:crypto";
import type { SandboxScope } from "@sandgate/identity";
import { newPlaceholder, placeholderBytes } from "@sandgate/policy";
import type { SqlClient } from "@sandgate/postgres";

/**
 * Makes these the providers that a sandbox may use. Each keeps its placeholder as long as it is named without a break, so that running
 * workloads keep what they were given; one that is named again has another.
 */
export async function grantProviders(tx: SqlClient, scope: SandboxScope, names: readonly string[]): Promise<void> {
  await tx.query(`delete from provider_grants where sandbox_id = $1 and provider_name <> all($2)`, [
    scope.sandboxId,
    names,
  ]);
  if (names.length === 0) return;
  await tx.query(
    `insert into provider_grants (sandbox_id, organization_id, provider_name, placeholder)
     select $1, $2, unnest($3::text[]), unnest($4::text[])
     on conflict (sandbox_id, provider_name) do nothing`,
    [scope.sandboxId, scope.organizationId, names, names.map(() => newPlaceholder(randomBytes(placeholderBytes)))],
  );
}

/** Takes all providers from sandboxes that are gone. */
export async function withdrawProviders(tx: SqlClient, sandboxIds: readonly string[]): Promise<void> {
  await tx.query(`delete from provider_grants where sandbox_id = any($1)`, [sandboxIds]);
}

/** Holds off every other change of policies and providers until the commit: none that names a provider is stored between reading and telling. */
export async function lockPolicies(tx: SqlClient): Promise<void> {
  await tx.query(`select from change_counters where stream = 'policies' for update`);
}

/** Has the stream of policies tell of every living sandbox that a provider is granted to. Policies must be locked. Returns the sandboxes' ids. */
export async function touchGrantedSandboxes(
  tx: SqlClient,
  provider: { readonly organizationId: string; readonly name: string },
): Promise<string[]> {
  const { rows } = await tx.query<{ sandbox_id: string }>(
    `with granted as (
       select c.sandbox_id, row_number() over (order by c.sandbox_id) as number
         from provider_grants g
         join current_policies c on c.sandbox_id = g.sandbox_id
        where g.organization_id = $1 and g.provider_name = $2 and c.retire_time is null
     ), counter as (
       update change_counters set position = position + (select count(*) from granted)
        where stream = 'policies'
       returning position
     )
     update current_policies c
        set version = counter.position - (select count(*) from granted) + granted.number
       from granted, counter
      where c.sandbox_id = granted.sandbox_id
     returning c.sandbox_id`,
    [provider.organizationId, provider.name],
  );
  return rows.map((row) => row.sandbox_id);
}
