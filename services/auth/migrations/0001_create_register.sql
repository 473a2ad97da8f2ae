create table organizations (
  id uuid primary key,
  name text not null
);

-- Who may act in an organization. Users whose `source` is the configuration are switched off when they are no longer in it.
create table users (
  id uuid primary key,
  organization_id uuid not null references organizations (id),
  name text not null,
  role smallint not null check (role between 1 and 3),
  active boolean not null,
  source text not null
);

-- Every sandbox that ever was. The row's lock puts all changes to a sandbox and its credentials in order, so what belongs to the
-- current incarnation alone (its key, its one bootstrap credential) is kept in the row itself.
create table sandboxes (
  id text primary key,
  organization_id uuid not null,
  name text not null,
  owner_user_id uuid not null,
  incarnation bigint not null check (incarnation > 0),
  alive boolean not null,
  trusted boolean not null,
  -- SubjectPublicKeyInfo (DER) and RFC 7638 thumbprint of the key that the incarnation enrolled with.
  public_key bytea,
  key_thumbprint text,
  rejoin_count bigint not null default 0,
  -- SHA-256 of the credential's jti, and the key that has used it.
  bootstrap_hash text,
  bootstrap_expire_time timestamptz,
  bootstrap_key_thumbprint text
);
create unique index sandboxes_living_name on sandboxes (organization_id, name) where alive;
create index sandboxes_living on sandboxes (id) where alive;

-- Session tokens by jti, with what is needed to answer with the very same credentials again. No token is in it: a token is its
-- claims, signed deterministically by the key that is named.
create table sessions (
  token_id text primary key,
  sandbox_id text not null references sandboxes (id),
  organization_id uuid not null,
  incarnation bigint not null,
  key_thumbprint text not null,
  signing_key_id text not null,
  issue_time timestamptz not null,
  expire_time timestamptz not null,
  certificate bytea not null,
  certificate_sha256 text not null,
  certificate_expire_time timestamptz not null,
  -- The token that it was refreshed with; each has one successor.
  predecessor text unique
);
create index sessions_by_sandbox on sessions (sandbox_id);
create index sessions_expire_time on sessions (certificate_expire_time);

-- The durable change log of trust. `trust_head` is locked from a change to its commit: sequences become visible in their order.
create table trust_events (
  sequence bigint primary key,
  kind text not null check (kind in ('revocation', 'sandbox', 'user', 'signing_keys')),
  revocation_kind smallint not null default 0,
  subject text not null,
  issued_before timestamptz,
  expire_time timestamptz not null
);
create index trust_events_expire_time on trust_events (expire_time);

create table trust_head (
  single_row boolean primary key default true check (single_row),
  sequence bigint not null,
  -- No event at or before this one can be relied on to be there still.
  pruned_through bigint not null
);
insert into trust_head (sequence, pruned_through) values (0, 0);

-- Appends changes, given as JSON objects with the columns' names, and returns the last one's sequence.
create function append_trust_events(events jsonb) returns bigint language plpgsql as $$
declare
  last bigint;
begin
  update trust_head set sequence = sequence + jsonb_array_length(events) returning sequence into strict last;
  insert into trust_events (sequence, kind, revocation_kind, subject, issued_before, expire_time)
  select last - jsonb_array_length(events) + place, event ->> 'kind', coalesce((event ->> 'revocation_kind')::smallint, 0::smallint),
         event ->> 'subject', (event ->> 'issued_before')::timestamptz, (event ->> 'expire_time')::timestamptz
    from jsonb_array_elements(events) with ordinality as listed (event, place);
  perform pg_notify('auth_trust', last::text);
  return last;
end
$$;

-- The audit log, as libs/audit has it.
create table audit_events (
  sequence bigint primary key,
  time timestamptz not null check (date_trunc('milliseconds', time) = time),
  action text not null,
  principal text not null,
  peer text not null,
  organization_id text not null,
  sandbox_id text not null,
  details jsonb not null,
  hash bytea not null check (octet_length(hash) = 32)
);
create index audit_events_by_organization on audit_events (organization_id, sequence);
create index audit_events_by_sandbox on audit_events (sandbox_id, sequence) where sandbox_id <> '';

create table audit_head (
  single_row boolean primary key default true check (single_row),
  sequence bigint not null,
  hash bytea not null
);
insert into audit_head (sequence, hash) values (0, decode(repeat('00', 32), 'hex'));

create function refuse_audit_change() returns trigger language plpgsql as $$
begin
  raise exception 'audit records cannot be changed' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_events_append_only before update or delete or truncate on audit_events
  for each statement execute function refuse_audit_change();
create trigger audit_head_stays before delete or truncate on audit_head
  for each statement execute function refuse_audit_change();

-- appends records, each given as the canonical JSON that is hashed, and returns the last one's number
create function append_audit_events(records text[]) returns bigint language plpgsql as $$
declare
  last audit_head;
  entry text;
  fields jsonb;
begin
  select * into strict last from audit_head for update;
  foreach entry in array records loop
    fields := entry::jsonb;
    last.sequence := last.sequence + 1;
    last.hash := sha256(last.hash || convert_to(last.sequence || chr(10) || entry, 'UTF8'));
    insert into audit_events (sequence, time, action, principal, peer, organization_id, sandbox_id, details, hash)
    values (last.sequence, (fields ->> 'time')::timestamptz, fields ->> 'action', fields ->> 'principal', fields ->> 'peer',
            fields ->> 'organization_id', fields ->> 'sandbox_id', fields -> 'details', last.hash);
  end loop;
  update audit_head set sequence = last.sequence, hash = last.hash;
  return last.sequence;
end
$$;
