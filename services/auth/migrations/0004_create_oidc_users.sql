-- Users of OpenID providers: whose subject they are, and when the token was issued that their organization and role are from.
create table oidc_users (
  user_id uuid primary key references users (id),
  issuer text not null,
  subject text not null,
  claims_time timestamptz not null,
  unique (issuer, subject)
);
