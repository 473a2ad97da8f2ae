-- Keys of programs, by SHA-256. A revoked key stays for a while, so that revoking it again is no failure.
create table api_keys (
  id uuid primary key,
  user_id uuid not null references users (id),
  organization_id uuid not null,
  name text not null,
  role smallint not null check (role between 1 and 3),
  hash bytea not null unique check (octet_length(hash) = 32),
  create_time timestamptz not null,
  -- null: it does not expire.
  expire_time timestamptz,
  last_used_time timestamptz,
  revoke_time timestamptz
);
create unique index api_keys_living_name on api_keys (user_id, name) where revoke_time is null;
create index api_keys_by_organization on api_keys (organization_id, id) where revoke_time is null;
create index api_keys_revoke_time on api_keys (revoke_time) where revoke_time is not null;
