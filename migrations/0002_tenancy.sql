-- Who the customers are: organizations, their projects, API keys and runs. Keys lead with the organization, so that the
-- tables can be spread over hosts by it later. A key's secret is not here: its SHA-256 is all that is kept.

create schema tenancy;
grant usage on schema tenancy to forge_app;

create table tenancy.organization (
  id uuid primary key,
  name text not null check (length(name) between 1 and 128),
  time_zone text not null default 'UTC',
  created_at timestamptz not null default clock_timestamp()
);

create table tenancy.project (
  org_id uuid not null references tenancy.organization,
  id uuid not null unique,
  name text not null check (length(name) between 1 and 128),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id)
);

create table tenancy.api_key (
  org_id uuid not null,
  id uuid not null unique,
  project_id uuid not null,
  label text not null check (length(label) <= 128),
  -- The first characters of the secret, for people to tell keys apart.
  prefix text not null check (prefix ~ '^sk-tf-[0-9A-Za-z]{4}$'),
  key_sha256 bytea not null unique check (length(key_sha256) = 32),
  policy text not null,
  allow_cross_balance boolean not null default false,
  -- Null: all of them. Route names may also be route types (official, ordinary).
  models text[],
  route_names text[],
  max_attempts int check (max_attempts > 0),
  state text not null default 'active' check (state in ('active', 'paused', 'revoked')),
  expires_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  last_used_at timestamptz,
  primary key (org_id, id),
  foreign key (org_id, project_id) references tenancy.project (org_id, id)
);
create index api_key_by_project on tenancy.api_key (org_id, project_id, id);

create table tenancy.run (
  org_id uuid not null,
  id uuid not null unique,
  project_id uuid not null,
  name text not null check (length(name) between 1 and 128),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id),
  unique (project_id, name),
  foreign key (org_id, project_id) references tenancy.project (org_id, id)
);
create index run_by_project on tenancy.run (org_id, project_id, id);

-- Every gateway process keeps keys in memory and drops them on this word. Marking a key as used is no change: the
-- trigger names the columns that matter, or each request would empty the cache it was answered from.
create function tenancy.announce_key() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  if tg_op = 'UPDATE' and old.state = 'revoked' and new.state <> 'revoked' then
    raise exception 'a revoked API key stays revoked' using errcode = 'integrity_constraint_violation';
  end if;
  if tg_op = 'DELETE' then
    perform pg_notify('forge_key', old.id::text);
  else
    perform pg_notify('forge_key', new.id::text);
  end if;
  return null;
end $$;
create trigger announce
  after insert or delete or update of label, policy, allow_cross_balance, models, route_names, max_attempts, state, expires_at
  on tenancy.api_key for each row execute function tenancy.announce_key();

create function tenancy.announce_name() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  perform pg_notify('forge_tenancy', tg_argv[0] || ':' || new.id::text);
  return null;
end $$;
create trigger announce after update of name, time_zone on tenancy.organization
  for each row execute function tenancy.announce_name('organization');
create trigger announce after update of name on tenancy.project
  for each row execute function tenancy.announce_name('project');

revoke all on all functions in schema tenancy from public;
grant select, insert on all tables in schema tenancy to forge_app;
grant update (name, time_zone) on tenancy.organization to forge_app;
grant update (name) on tenancy.project, tenancy.run to forge_app;
grant update (label, policy, allow_cross_balance, models, route_names, max_attempts, state, expires_at, last_used_at)
  on tenancy.api_key to forge_app;
