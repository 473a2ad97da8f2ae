-- The kid of the key that signed the session's token: once that is revoked, the session is not live. Null for tokens of before.
alter table sandbox_sessions add column key_id text;
