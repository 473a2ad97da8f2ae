-- Pods that have enrolled, each for the one incarnation that it may ever enrol. Kept as long as the sandbox: a pod's uid never comes again.
create table enrolled_pods (
  uid uuid primary key,
  sandbox_id text not null references sandboxes (id),
  incarnation bigint not null
);
