create table sandboxes (
  id text primary key,
  organization_id uuid not null,
  name text not null,
  owner_user_id uuid not null,
  spec jsonb not null,
  policy bytea not null,
  policy_request_id uuid not null,
  desired_phase text not null default 'READY' check (desired_phase in ('READY', 'DELETED')),
  phase text not null default 'PENDING' check (phase in (
    'PENDING', 'PROVISIONING', 'STARTING', 'READY', 'COMPLETED', 'FAILED', 'STOPPING', 'STOPPED', 'DELETING', 'DELETED')),
  incarnation bigint not null default 1 check (incarnation > 0),
  version bigint not null default 1,
  registered boolean not null default false,
  policy_revision bigint,
  confinement text not null default 'unproved' check (confinement in ('unproved', 'proved', 'broken')),
  supervisor_seen_time timestamptz,
  failure jsonb,
  main_exit jsonb,
  isolation_gaps text[] not null default '{}',
  waiting_for text[] not null default '{}',
  create_time timestamptz not null,
  phase_time timestamptz not null,
  ready_time timestamptz,
  expire_time timestamptz,
  check ((phase = 'FAILED') <= (failure is not null))
);

comment on column sandboxes.desired_phase is 'what the reconciler works towards';
comment on column sandboxes.phase is 'what was last observed';
comment on column sandboxes.version is 'rises with every change that a watcher can see';

create unique index sandboxes_living_name on sandboxes (organization_id, name) where phase <> 'DELETED';
create index sandboxes_newest_first on sandboxes (organization_id, create_time desc, id desc);
create index sandboxes_living on sandboxes (id) where phase <> 'DELETED';
create index sandboxes_expiring on sandboxes (expire_time) where desired_phase = 'READY' and expire_time is not null;
create index sandboxes_gone on sandboxes (phase_time) where phase = 'DELETED';

create table requests (
  organization_id uuid not null,
  method text not null,
  request_id uuid not null,
  content_hash bytea not null,
  answer bytea not null,
  create_time timestamptz not null,
  primary key (organization_id, method, request_id)
);

comment on table requests is 'the answer of every mutation, written in the transaction of its effect';

create index requests_oldest_first on requests (create_time);

create table sandbox_log_ends (
  sandbox_id text primary key references sandboxes (id) on delete cascade,
  end_offset bigint not null default 0
);

create table sandbox_logs (
  sandbox_id text not null references sandboxes (id) on delete cascade,
  start_offset bigint not null,
  end_offset bigint not null,
  data bytea not null,
  primary key (sandbox_id, start_offset),
  check (end_offset = start_offset + length(data))
);

comment on table sandbox_logs is 'the output of main processes, by byte offset, without gaps up to sandbox_log_ends.end_offset';

create function notify_sandbox_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('sandbox_events', 'changed ' || new.id);
  return null;
end
$$;

create trigger sandboxes_inserted after insert on sandboxes
  for each row execute function notify_sandbox_changed();
create trigger sandboxes_changed after update on sandboxes
  for each row when (old.version is distinct from new.version) execute function notify_sandbox_changed();

create function notify_sandbox_logged() returns trigger language plpgsql as $$
begin
  perform pg_notify('sandbox_events', 'logged ' || new.sandbox_id);
  return null;
end
$$;

create trigger sandbox_logs_grown after update on sandbox_log_ends
  for each row execute function notify_sandbox_logged();

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
