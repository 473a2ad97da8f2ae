-- Accounts are users with a login name. Users of the configuration have none: they come with a certificate.
alter table users
  add column login text,
  -- argon2id as a PHC string, or a bcrypt hash that was imported; null: no password lets this user in.
  add column password_hash text,
  add column create_time timestamptz not null default now(),
  add column last_login_time timestamptz;
create unique index users_login on users (login) where login is not null;
create index users_by_organization on users (organization_id, id);

-- Open invitations; one that was accepted, withdrawn or replaced is gone. Only the token's SHA-256 is kept.
create table invitations (
  id uuid primary key,
  organization_id uuid not null references organizations (id),
  login text not null,
  role smallint not null check (role between 1 and 3),
  -- The account that may set a new password; null: the account is yet to be made.
  user_id uuid references users (id),
  inviter_user_id uuid not null,
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  create_time timestamptz not null,
  expire_time timestamptz not null,
  unique (organization_id, login)
);

-- Logins. A session has one refresh token at a time, the current one.
create table user_sessions (
  id uuid primary key,
  user_id uuid not null references users (id),
  organization_id uuid not null,
  create_time timestamptz not null,
  refresh_time timestamptz not null,
  expire_time timestamptz not null,
  end_time timestamptz,
  -- How often it was refreshed.
  generation integer not null,
  current_hash bytea not null check (octet_length(current_hash) = 32)
);
create index user_sessions_living on user_sessions (user_id, create_time) where end_time is null;
create index user_sessions_expire_time on user_sessions (expire_time);

-- Every refresh token that a session ever had, by SHA-256, so that one that comes back is known.
create table user_refresh_tokens (
  hash bytea primary key check (octet_length(hash) = 32),
  session_id uuid not null references user_sessions (id) on delete cascade,
  generation integer not null,
  -- SHA-256 of the request that it was exchanged with; null while it was not.
  request_hash bytea
);
create index user_refresh_tokens_by_session on user_refresh_tokens (session_id);

-- Failed logins: of an account, of an address, and of an account from one address.
create table login_attempts (
  subject text primary key,
  failures integer not null,
  failure_time timestamptz not null,
  success_time timestamptz
);
create index login_attempts_failure_time on login_attempts (failure_time);
