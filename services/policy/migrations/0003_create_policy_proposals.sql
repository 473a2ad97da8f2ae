-- Rules that somebody would have added to a sandbox's policy, as a sandgate.policy.v1.PolicyProposal. The columns beside it are what is
-- searched and counted by.
create table policy_proposals (
  proposal_id text primary key,
  sandbox_id text not null references current_policies (sandbox_id),
  -- a value of ProposalState
  state smallint not null,
  -- a value of ProposalSource
  source smallint not null,
  version bigint not null check (version > 0),
  -- of its rules, without their names: the same thing is not proposed twice
  content_digest bytea not null check (octet_length(content_digest) = 32),
  create_time timestamptz not null,
  update_time timestamptz not null,
  proposal bytea not null
);
create index policy_proposals_newest on policy_proposals (sandbox_id, state, create_time desc, proposal_id desc);
create index policy_proposals_by_source on policy_proposals (sandbox_id, source, create_time desc, proposal_id desc);
create unique index policy_proposals_pending on policy_proposals (sandbox_id, content_digest) where state = 1;
create index policy_proposals_update_time on policy_proposals (update_time) where state in (3, 4);
