alter table sandboxes add column labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object');

comment on column sandboxes.labels is 'what the creator has marked it with; names to texts';

create index sandboxes_by_label on sandboxes using gin (labels jsonb_path_ops);
create index sandboxes_by_owner on sandboxes (organization_id, owner_user_id, create_time desc, id desc);
