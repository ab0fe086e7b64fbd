-- Responses that a provider keeps live on the channel that made them: retrieving, cancelling, deleting and continuing them
-- must go there.

create table gateway.response_pin (
  org_id uuid not null,
  project_id uuid not null,
  response_id text not null,
  channel text not null,
  route text not null,
  model text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, project_id, response_id)
);
create index response_pin_by_age on gateway.response_pin (created_at);

grant select, insert, update, delete on gateway.response_pin to forge_app;
