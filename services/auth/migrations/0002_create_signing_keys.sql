-- The key pairs that tokens are signed with. Of each algorithm one key signs, one is published to sign next, and those that signed
-- before stay published until nothing that they signed can be valid. Rows stay for good: no kid is ever taken into use twice.
create table signing_keys (
  kid text primary key,
  algorithm text not null,
  -- SubjectPublicKeyInfo, DER.
  public_key bytea not null,
  -- PKCS#8, sealed with a key that is in no database; gone once the key is retired or revoked.
  sealed_key bytea,
  publish_time timestamptz not null,
  -- From when it signs; null while nobody has decided.
  sign_time timestamptz,
  -- When it was taken out of the published keys.
  retire_time timestamptz,
  revoke_time timestamptz,
  check ((sealed_key is null) = (retire_time is not null or revoke_time is not null))
);
-- One key of an algorithm waits to be chosen.
create unique index signing_keys_waiting on signing_keys (algorithm)
  where sign_time is null and retire_time is null and revoke_time is null;
