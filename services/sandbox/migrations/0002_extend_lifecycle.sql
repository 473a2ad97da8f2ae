alter table sandboxes add column labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object');

comment on column sandboxes.labels is 'what the creator has marked it with; names to texts';

create index sandboxes_by_label on sandboxes using gin (labels jsonb_path_ops);
create index sandboxes_by_owner on sandboxes (organization_id, owner_user_id, create_time desc, id desc);

alter table sandboxes drop constraint sandboxes_desired_phase_check;
alter table sandboxes add constraint sandboxes_desired_phase_check check (desired_phase in ('READY', 'STOPPED', 'DELETED'));
alter table sandboxes add column start_time timestamptz;

comment on column sandboxes.start_time is 'when the present incarnation was begun; null for the first one, which begins with the row';

drop index sandboxes_expiring;
create index sandboxes_expiring on sandboxes (expire_time) where desired_phase <> 'DELETED' and expire_time is not null;

alter table sandbox_log_ends add column incarnation_offset bigint not null default 0;

comment on column sandbox_log_ends.incarnation_offset is 'where the output of the present incarnation begins';

alter table sandboxes add column idle_timeout_ms bigint check (idle_timeout_ms > 0);
alter table sandboxes add column idle_action text not null default 'STOP' check (idle_action in ('STOP', 'DELETE'));
alter table sandboxes add column active_time timestamptz;

comment on column sandboxes.active_time is 'when the present incarnation was last known to be active, by its supervisor or by a call for it';

alter table sandboxes add column end_cause text check (end_cause in ('REQUESTED', 'IDLE', 'EXPIRED'));

comment on column sandboxes.end_cause is 'why the desired phase is not READY; null while it is';

create index sandboxes_idling on sandboxes (id) where phase = 'READY' and idle_timeout_ms is not null;

create table quota_locks (
  organization_id uuid primary key
);

comment on table quota_locks is 'a row is locked while somebody counts what its organization has, and adds to it';

create table sandbox_history (
  sandbox_id text not null references sandboxes (id) on delete cascade,
  version bigint not null,
  time timestamptz not null,
  incarnation bigint not null,
  desired_phase text not null,
  phase text not null,
  phase_time timestamptz not null,
  start_time timestamptz,
  ready_time timestamptz,
  expire_time timestamptz,
  waiting_for text[] not null,
  end_cause text,
  failure jsonb,
  main_exit jsonb,
  primary key (sandbox_id, version)
);

comment on table sandbox_history is 'the last 256 versions of each sandbox, for watchers that were cut off; without what only an update changes';

create function keep_sandbox_history() returns trigger language plpgsql as $$
begin
  insert into sandbox_history (sandbox_id, version, time, incarnation, desired_phase, phase, phase_time, start_time, ready_time, expire_time,
                               waiting_for, end_cause, failure, main_exit)
  values (new.id, new.version, clock_timestamp(), new.incarnation, new.desired_phase, new.phase, new.phase_time, new.start_time, new.ready_time,
          new.expire_time, new.waiting_for, new.end_cause, new.failure, new.main_exit);
  delete from sandbox_history where sandbox_id = new.id and version <= new.version - 256;
  return null;
end
$$;

create trigger sandboxes_inserted_history after insert on sandboxes
  for each row execute function keep_sandbox_history();
create trigger sandboxes_changed_history after update on sandboxes
  for each row when (old.version is distinct from new.version) execute function keep_sandbox_history();

insert into sandbox_history (sandbox_id, version, time, incarnation, desired_phase, phase, phase_time, start_time, ready_time, expire_time,
                             waiting_for, failure, main_exit)
select id, version, phase_time, incarnation, desired_phase, phase, phase_time, start_time, ready_time, expire_time, waiting_for, failure, main_exit
  from sandboxes;

create table sandbox_templates (
  organization_id uuid not null,
  name text not null,
  content bytea not null,
  creator_user_id uuid not null,
  create_time timestamptz not null,
  primary key (organization_id, name)
);

comment on column sandbox_templates.content is 'a sandgate.sandbox.v1.SandboxTemplate with spec, policy and labels';
