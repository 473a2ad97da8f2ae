-- Certificates of users who run the suite, so that they can be listed and revoked. Whether one is revoked, everybody learns from the
-- change log of trust.
create table operator_certificates (
  -- Hexadecimal, both.
  sha256 text primary key,
  serial text not null,
  user_id uuid not null references users (id),
  organization_id uuid not null,
  create_time timestamptz not null,
  expire_time timestamptz not null,
  revoke_time timestamptz
);
create index operator_certificates_by_organization on operator_certificates (organization_id, sha256);
create index operator_certificates_by_user on operator_certificates (user_id);
-- Users whose `source` is 'operator' were entered with a certificate: one of a name.
create unique index users_operator_name on users (organization_id, name) where source = 'operator';
