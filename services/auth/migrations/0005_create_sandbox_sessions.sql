-- The sessions of container tokens, by jti: from issue to expiry or revocation. No token is in it, only its SHA-256, so that whoever
-- holds one can ask for its session.
create table sandbox_sessions (
  token_id text primary key,
  -- Hexadecimal.
  token_sha256 text not null unique,
  sandbox_id text not null references sandboxes (id),
  organization_id uuid not null,
  -- Who had it minted; for a supervisor's own, the sandbox's owner.
  user_id uuid not null,
  by_supervisor boolean not null,
  incarnation bigint not null,
  audience text not null,
  issue_time timestamptz not null,
  expire_time timestamptz not null,
  -- Null while it is not revoked.
  revoke_time timestamptz
);
create index sandbox_sessions_by_organization on sandbox_sessions (organization_id, issue_time, token_id);
create index sandbox_sessions_by_sandbox on sandbox_sessions (sandbox_id, issue_time, token_id);
create index sandbox_sessions_by_user on sandbox_sessions (user_id, issue_time, token_id);
create index sandbox_sessions_expire_time on sandbox_sessions (expire_time);
