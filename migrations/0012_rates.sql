-- Rate limits: how many requests and tokens a minute, and how many at once, inside a scope (an organization, project, key
-- or route). What is counted against them is kept in memory or in Redis and never here: it is worth a minute.

create table tenancy.rate_limit (
  org_id uuid not null references tenancy.organization (id),
  id uuid not null unique,
  scope text not null check (scope in ('organization', 'project', 'key', 'route')),
  scope_id text not null check (scope_id <> ''),
  -- Null is no limit of that kind.
  requests_per_minute bigint check (requests_per_minute between 0 and 1000000000),
  tokens_per_minute bigint check (tokens_per_minute between 0 and 1000000000000),
  concurrency bigint check (concurrency between 0 and 1000000),
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (org_id, id),
  check (requests_per_minute is not null or tokens_per_minute is not null or concurrency is not null)
);
create unique index rate_limit_in_force on tenancy.rate_limit (org_id, scope, scope_id) where ended_at is null;
create index rate_limit_by_scope on tenancy.rate_limit (org_id, scope, scope_id);

-- Gateways keep limits in memory and read those of an organization again on this word.
create function tenancy.announce_rate() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_notify('forge_rate', new.org_id::text);
  return null;
end $$;
create trigger announce after insert or update on tenancy.rate_limit
  for each row execute function tenancy.announce_rate();

revoke all on function tenancy.announce_rate from public;
grant select, insert on tenancy.rate_limit to forge_app;
-- What it is about, and when it was made, stay; the history is tenancy.audit_event.
grant update (requests_per_minute, tokens_per_minute, concurrency, ended_at) on tenancy.rate_limit to forge_app;
grant select, insert on tenancy.rate_limit to forge_tenant;
grant update (requests_per_minute, tokens_per_minute, concurrency, ended_at) on tenancy.rate_limit to forge_tenant;
call tenancy.fence('tenancy.rate_limit');
