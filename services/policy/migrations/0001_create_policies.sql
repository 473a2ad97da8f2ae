-- Where each stream of changes stands. A writer moves its row on inside its transaction and so holds it until the commit:
-- positions become visible in the order of their values, and a reader that continues after one never misses a lower one.
create table change_counters (
  stream text primary key,
  position bigint not null
);
insert into change_counters (stream, position) values ('policies', 0), ('enforcements', 0), ('decisions', 0);

-- Every policy that a sandbox ever had, as a sandgate.policy.v1.Policy in canonical form.
create table policy_revisions (
  sandbox_id text not null,
  revision bigint not null check (revision > 0),
  policy bytea not null,
  size_bytes integer not null generated always as (octet_length(policy)) stored,
  author text not null,
  create_time timestamptz not null,
  primary key (sandbox_id, revision)
);

create function refuse_revision_change() returns trigger language plpgsql as $$
begin
  raise exception 'a policy revision is never changed';
end
$$;
create trigger policy_revisions_immutable before update or delete or truncate on policy_revisions
  for each statement execute function refuse_revision_change();

-- The newest revision of each sandbox. A retired sandbox's row stays, so that a resumed stream tells of its removal.
create table current_policies (
  sandbox_id text primary key,
  organization_id uuid not null,
  revision bigint not null,
  version bigint not null,
  retire_time timestamptz,
  foreign key (sandbox_id, revision) references policy_revisions (sandbox_id, revision)
);
create unique index current_policies_version on current_policies (version);
create index current_policies_living on current_policies (version) where retire_time is null;

-- What the proxies last said that they enforce.
create table enforcements (
  sandbox_id text primary key references current_policies (sandbox_id),
  revision bigint not null,
  enforce_time timestamptz not null,
  fault text not null,
  position bigint not null
);
create unique index enforcements_position on enforcements (position);

-- Answers to requests that carried a request_id.
create table requests (
  organization_id uuid not null,
  request_id uuid not null,
  digest bytea not null,
  revision bigint,
  create_time timestamptz not null,
  primary key (organization_id, request_id)
);
create index requests_create_time on requests (create_time);

-- How far each run of a proxy process has reported.
create table proxy_runs (
  proxy_run_id text primary key,
  stored_sequence bigint not null,
  report_time timestamptz not null
);
create index proxy_runs_report_time on proxy_runs (report_time);

-- Where a proxy dropped decisions because its queue was full: `dropped` of them are missing before `before_sequence`.
create table decision_gaps (
  proxy_run_id text not null references proxy_runs (proxy_run_id) on delete cascade,
  before_sequence bigint not null,
  dropped bigint not null,
  primary key (proxy_run_id, before_sequence)
);

create table decisions (
  decision_id text primary key,
  sandbox_id text not null,
  position bigint not null,
  time timestamptz not null,
  verdict smallint not null,
  reason text not null,
  method text not null,
  host text not null,
  port integer not null,
  rule text not null,
  policy_revision bigint not null,
  address text not null,
  sent_bytes bigint not null,
  received_bytes bigint not null,
  -- Null until the exchange or tunnel has ended.
  duration_us bigint
);
create index decisions_newest on decisions (sandbox_id, verdict, time desc, decision_id desc);
create index decisions_position on decisions (sandbox_id, position);
create index decisions_time on decisions (time);

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
