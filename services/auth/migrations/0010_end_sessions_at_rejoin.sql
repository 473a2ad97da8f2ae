-- Whether a rejoin has taken the session's place: it cannot be refreshed any more.
alter table sessions add column ended boolean not null default false;
