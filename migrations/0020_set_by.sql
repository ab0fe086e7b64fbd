-- What an operator limits, an organization does not widen: who made a limit is kept with it.
alter table tenancy.rate_limit add column set_by text not null default 'operator'
  check (set_by in ('operator', 'person', 'key', 'system'));

create function tenancy.keep_operators_rate() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('role', true) = 'forge_tenant' and (tg_op = 'UPDATE' and old.set_by = 'operator' or new.set_by = 'operator') then
    raise exception 'an operator has set this limit' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger kept before insert or update on tenancy.rate_limit
  for each row execute function tenancy.keep_operators_rate();

-- Of a budget the first change says who made it.
create function ledger.set_by(p_org uuid, p_budget uuid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select split_part(c.made_by, ':', 1) from ledger.budget_change c where c.org_id = p_org and c.budget_id = p_budget and c.n = 1
$$;
create or replace function ledger.fence_budget() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform tenancy.assert_visible(new.org_id);
  if tg_op = 'UPDATE' and current_setting('role', true) = 'forge_tenant' and ledger.set_by(old.org_id, old.id) = 'operator' then
    raise exception 'an operator has set this budget' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
revoke all on function tenancy.keep_operators_rate, ledger.set_by from public;
grant execute on function ledger.set_by to forge_app, forge_tenant;
