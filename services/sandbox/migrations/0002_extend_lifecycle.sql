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

create index sandboxes_idling on sandboxes (id) where phase = 'READY' and idle_timeout_ms is not null;

create table quota_locks (
  organization_id uuid primary key
);

comment on table quota_locks is 'a row is locked while somebody counts what its organization has, and adds to it';
