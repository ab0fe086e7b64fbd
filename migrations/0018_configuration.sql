-- What operators change in forge.yaml is a change like any other: it is in the log of changes. Kept is what was in force last,
-- flat, without credentials and addresses' secrets; what differs from it is the event.
create table catalog.configuration (
  id uuid primary key,
  seq bigint generated always as identity unique,
  -- {"models.gpt-5.routes.official": "…", …}, sorted.
  content text not null,
  -- What differs from the row before: null for what was not there, or is not there any more.
  before jsonb,
  after jsonb,
  created_at timestamptz not null default clock_timestamp()
);
create trigger append_only before update or delete or truncate on catalog.configuration
  for each statement execute function catalog.refuse_change();

create function catalog.audit_configuration() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into tenancy.audit_event (org_id, actor_kind, actor_id, action, object_kind, object_id, before, after)
    values (null, 'operator', null, 'configuration.change', 'configuration', new.id, new.before, new.after);
  return null;
end $$;
create trigger audited after insert on catalog.configuration for each row execute function catalog.audit_configuration();

revoke all on function catalog.audit_configuration from public;
grant select on catalog.configuration to forge_app;
grant insert (id, content, before, after) on catalog.configuration to forge_app;
