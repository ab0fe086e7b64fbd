-- Which master key this database belongs to: a host that was started with another one would end everybody's sessions and
-- read no sealed secret. What is kept lets nobody in: it is derived for this end alone.

create table tenancy.master_key (
  one boolean primary key default true check (one),
  check_sha256 bytea not null check (length(check_sha256) = 32),
  since timestamptz not null default clock_timestamp()
);
grant select, insert, update on tenancy.master_key to forge_app;
