-- A provider's settings are a sandgate.policy.v1.Provider in canonical form. Its secret is sealed with a key that is not in the database,
-- and tied to this row's id, organization, version and settings: a changed row opens nothing.
create table providers (
  id text primary key,
  organization_id uuid not null,
  name text not null,
  settings bytea not null,
  version bigint not null check (version > 0),
  sealed_secret bytea not null,
  create_time timestamptz not null,
  update_time timestamptz not null,
  unique (organization_id, name)
);

-- Which providers the newest policy of each living sandbox names, whether they exist or not. The placeholder is no secret: it is good for
-- nothing but this sandbox's own channel.
create table provider_grants (
  sandbox_id text not null references current_policies (sandbox_id),
  organization_id uuid not null,
  provider_name text not null,
  placeholder text not null unique,
  primary key (sandbox_id, provider_name)
);
create index provider_grants_by_provider on provider_grants (organization_id, provider_name);

-- What a request about a provider was answered with, as a sandgate.policy.v1.Provider.
alter table requests add column answer bytea;
