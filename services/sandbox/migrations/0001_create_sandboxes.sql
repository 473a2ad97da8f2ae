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
