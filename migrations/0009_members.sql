-- People of an organization and what they may do in it; and a fence around every organization's rows: what is read or
-- written for a customer is done by the role forge_tenant, which sees the organizations that were named to it and no other.

do $$
begin
  if not exists (select from pg_roles where rolname = 'forge_tenant') then
    begin
      create role forge_tenant nologin;
    exception
      when duplicate_object or unique_violation then null;   -- another database of the cluster made it meanwhile
      when insufficient_privilege then
        raise exception 'the role forge_tenant is missing and this user may not create it'
          using hint = 'As a superuser run: CREATE ROLE forge_tenant NOLOGIN; GRANT forge_tenant TO the user of DATABASE_URL.';
    end;
  end if;
  if not pg_has_role(current_user, 'forge_tenant', 'member') then
    execute format('grant forge_tenant to %I', current_user);
  end if;
end $$;

-- A person is identity's; here is only where they belong.
create table tenancy.member (
  org_id uuid not null references tenancy.organization,
  person_id uuid not null,
  role text not null check (role in ('owner', 'admin', 'developer', 'billing', 'viewer')),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, person_id)
);
create index member_by_person on tenancy.member (person_id, org_id);

create table tenancy.invitation (
  org_id uuid not null references tenancy.organization,
  id uuid not null unique,
  email text not null check (email = lower(email) and length(email) <= 254),
  role text not null check (role in ('owner', 'admin', 'developer', 'billing', 'viewer')),
  token_sha256 bytea not null unique check (length(token_sha256) = 32),
  -- Null: an operator. Whether the inviter still may give that role is asked again when it is accepted.
  invited_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid,
  revoked_at timestamptz,
  primary key (org_id, id),
  check (accepted_at is null or revoked_at is null)
);
create unique index invitation_open on tenancy.invitation (org_id, email) where accepted_at is null and revoked_at is null;

alter table tenancy.audit_event drop constraint audit_event_actor_kind_check,
  add constraint audit_event_actor_kind_check check (actor_kind in ('operator', 'person', 'key', 'system'));

-- The organizations that were named to this transaction. None named: none seen.
create function tenancy.visible_orgs() returns uuid[] language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(nullif(current_setting('forge.orgs', true), ''), '{}')::uuid[]
$$;

-- Functions of the owner are not fenced by policies; they ask this. The role is that of the session, whoever owns the function.
create function tenancy.assert_visible(p_org uuid) returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('role', true) = 'forge_tenant' and not p_org = any (tenancy.visible_orgs()) then
    raise exception 'that organization is not visible here' using errcode = 'insufficient_privilege';
  end if;
end $$;

-- The fence of one table. The gateway serves all organizations at once, so its role sees them all.
create procedure tenancy.fence(p_table regclass, p_column name default 'org_id') language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('create policy gateway on %s to forge_app using (true) with check (true)', p_table);
  execute format('create policy tenant on %s to forge_tenant using (%I = any ((select tenancy.visible_orgs())::uuid[]))
    with check (%I = any ((select tenancy.visible_orgs())::uuid[]))', p_table, p_column, p_column);
end $$;

do $$
declare t regclass;
begin
  for t in select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id'
    where n.nspname in ('tenancy', 'ledger', 'gateway') and c.relkind in ('r', 'p') and not c.relrowsecurity
  loop
    call tenancy.fence(t);
  end loop;
end $$;
call tenancy.fence('tenancy.organization', 'id');

create function ledger.fence_budget() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform tenancy.assert_visible(new.org_id);
  return new;
end $$;
create trigger fenced before insert or update on ledger.budget for each row execute function ledger.fence_budget();

-- Budgets are changed by functions of the ledger, which keep their history; the log of changes gets its event from it. Who
-- changes is told by the transaction.
create function tenancy.audit_budget() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  who jsonb := coalesce(nullif(current_setting('forge.actor', true), ''), '{"kind": "system"}')::jsonb;
  old ledger.budget_change;
  about jsonb;
begin
  select c.* into old from ledger.budget_change c
    where c.org_id = new.org_id and c.budget_id = new.budget_id and c.n = new.n - 1;
  select jsonb_build_object('scope', b.scope, 'scope_id', b.scope_id, 'bucket', a.bucket, 'currency', a.currency,
      'period', b.period) into about
    from ledger.budget b join ledger.account a on a.org_id = b.org_id and a.id = b.account_id
    where b.org_id = new.org_id and b.id = new.budget_id;
  insert into tenancy.audit_event (org_id, actor_kind, actor_id, action, object_kind, object_id, before, after, request_id, address)
    values (new.org_id, who->>'kind', (who->>'id')::uuid,
      case when new.n = 1 then 'budget.create' when new.ended then 'budget.end' else 'budget.change' end,
      'budget', new.budget_id,
      case when old.n is not null then about || jsonb_build_object(
        'amount', trim_scale(old.amount::numeric / 1000000000)::text, 'hard', old.hard) end,
      case when not new.ended then about || jsonb_build_object(
        'amount', trim_scale(new.amount::numeric / 1000000000)::text, 'hard', new.hard) end,
      (who->>'requestId')::uuid, who->>'address');
  return null;
end $$;
create trigger audited after insert on ledger.budget_change for each row execute function tenancy.audit_budget();

revoke all on function tenancy.visible_orgs, tenancy.assert_visible, ledger.fence_budget, tenancy.audit_budget from public;
revoke all on procedure tenancy.fence from public;
grant execute on function tenancy.visible_orgs, tenancy.assert_visible to forge_app, forge_tenant;

grant select, insert on tenancy.member, tenancy.invitation to forge_app, forge_tenant;
grant update (role), delete on tenancy.member to forge_app, forge_tenant;
grant update (accepted_at, accepted_by, revoked_at) on tenancy.invitation to forge_app, forge_tenant;

-- What a customer may do, by any of its people or keys. Money is moved by the gateway's role only.
grant usage on schema tenancy, ledger, catalog to forge_tenant;
grant select on tenancy.organization, tenancy.project, tenancy.api_key, tenancy.api_key_secret, tenancy.run, tenancy.audit_event,
  ledger.account_kind, ledger.account, ledger.hold, ledger.transfer, ledger.entry, ledger.receipt, ledger.lot,
  ledger.budget, ledger.budget_change, ledger.budget_use, ledger.budget_event, catalog.price_version to forge_tenant;
grant insert on tenancy.project, tenancy.api_key, tenancy.api_key_secret, tenancy.run to forge_tenant;
grant update (name, time_zone) on tenancy.organization to forge_tenant;
grant update (name, state) on tenancy.project to forge_tenant;
grant update (label, policy, allow_cross_balance, models, route_names, max_attempts, state, expires_at, buckets, max_charge,
  allowed_networks, prefix) on tenancy.api_key to forge_tenant;
grant update (ends_at, revoked_at) on tenancy.api_key_secret to forge_tenant;
grant insert (org_id, actor_kind, actor_id, action, object_kind, object_id, before, after, request_id, address)
  on tenancy.audit_event to forge_tenant;
grant execute on function ledger.make_budget, ledger.change_budget to forge_tenant;
