-- A project may have the retries of official SDKs recognized, which carry no Idempotency-Key: the answers of its requests
-- are then kept for a minute after their end.

alter table tenancy.project add column replay_unkeyed_retries boolean not null default false;
grant update (replay_unkeyed_retries) on tenancy.project to forge_app;

-- Who may do what changes with a project's own settings too: keys carry them in memory.
drop trigger announce on tenancy.project;
create trigger announce after update of name, state, replay_unkeyed_retries on tenancy.project
  for each row execute function tenancy.announce_name('project');

-- Null for requests with an Idempotency-Key. Of others: the key that sent it, and how often it has been sent as far as is
-- known here; a retry belongs to a request that was sent less often.
alter table gateway.idempotency
  add column api_key_id uuid,
  add column retry smallint,
  add check ((api_key_id is null) = (retry is null));
create index idempotency_unkeyed on gateway.idempotency (api_key_id, body_sha256) where api_key_id is not null;
create index idempotency_unkeyed_by_end on gateway.idempotency (stored_at) where api_key_id is not null;
grant update (replay_unkeyed_retries) on tenancy.project to forge_tenant;
