/**
 * The tables of an audit log. A service copies this text into its first migration, unchanged. `audit_head` holds the last
 * record's number and hash: its row lock puts appends in order, so that numbers have no gap, and it shows when the newest
 * records were removed.
 */
export const auditEventsSql = `create table audit_events (
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
`;
