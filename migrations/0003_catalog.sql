-- Prices that were ever in force. A row is written before the first charge that names it and never changes, so that a
-- charge can be checked against the price it was made at, however often the configuration has changed since.

do $$
begin
  if not exists (select from pg_roles where rolname = 'forge_app') then
    begin
      create role forge_app nologin;
    exception
      -- Another installation on this server was faster.
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise notice 'the role forge_app is missing and this user may not create it';
    end;
  end if;
end $$;

create schema catalog;

create table catalog.price_version (
  id uuid primary key,
  model text not null check (model <> ''),
  route text not null check (route <> ''),
  bucket text not null check (bucket <> ''),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- 1970-01-01 where the configuration gives no date.
  effective_from timestamptz not null,
  -- Canonical JSON: text, since jsonb would lose the bytes that the hash is of.
  content text not null,
  content_sha256 bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  unique (model, route, bucket, effective_from, content_sha256),
  constraint content_matches_hash check (content_sha256 = sha256(convert_to(content, 'UTF8'))),
  constraint content_matches_currency check (content::json ->> 'currency' = currency)
);

comment on table catalog.price_version is 'Immutable price sheets; charges name the id.';

create function catalog.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete or truncate on catalog.price_version
  for each statement execute function catalog.refuse_change();

revoke all on all functions in schema catalog from public;

do $$
begin
  if exists (select from pg_roles where rolname = 'forge_app') then
    grant usage on schema catalog to forge_app;
    grant select, insert on catalog.price_version to forge_app;
  end if;
end $$;
