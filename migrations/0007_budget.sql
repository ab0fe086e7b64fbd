-- Budgets: how much of one bucket may be spent inside a scope (an organization, project, key, route or run) in a period.
-- They are checked and held by ledger.apply, in the batch and under the lock that move the money: a budget belongs to one
-- account, so whoever has the account has its budgets. What a scope is, is opaque here; an op names the budgets it is under.

create table ledger.budget (
  org_id uuid not null,
  id uuid not null unique,
  account_id bigint not null references ledger.account (id),
  scope text not null check (scope in ('organization', 'project', 'key', 'route', 'run')),
  scope_id text not null check (scope_id <> ''),
  period text not null check (period in ('day', 'week', 'month', 'total')),
  amount bigint not null check (amount >= 0),
  -- Hard refuses; soft only tells (ledger.budget_event).
  hard boolean not null,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (org_id, id)
);
create unique index budget_in_force on ledger.budget (org_id, scope, scope_id, account_id, period, hard) where ended_at is null;
create index budget_by_scope on ledger.budget (org_id, scope, scope_id);

-- Every state a budget has had, and who made it so.
create table ledger.budget_change (
  org_id uuid not null,
  budget_id uuid not null,
  n int not null,
  amount bigint not null,
  hard boolean not null,
  ended boolean not null,
  made_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, budget_id, n)
);

-- One row a window in which the budget was reserved on. Written by ledger.apply alone; a change of the budget leaves it.
create table ledger.budget_use (
  org_id uuid not null,
  id bigint generated always as identity primary key,
  budget_id uuid not null,
  window_start timestamptz not null,
  used bigint not null default 0 check (used >= 0),
  held bigint not null default 0 check (held >= 0),
  unique (org_id, budget_id, window_start),
  foreign key (org_id, budget_id) references ledger.budget (org_id, id)
) with (fillfactor = 50);

-- What was used reached a part of the amount: a fact, once for each amount the budget had in the window.
create table ledger.budget_event (
  org_id uuid not null,
  id bigint generated always as identity unique,
  budget_id uuid not null,
  window_start timestamptz not null,
  threshold smallint not null,
  amount bigint not null,
  used bigint not null,
  xid xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, budget_id, window_start, threshold, amount)
);

create trigger append_only before update or delete or truncate on ledger.budget_change
  for each statement execute function ledger.refuse_change();
create trigger append_only before update or delete or truncate on ledger.budget_event
  for each statement execute function ledger.refuse_change();

-- Gateways keep budgets in memory and read those of an organization again on this word.
create function ledger.announce_budget() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_notify('forge_budget', new.org_id::text);
  return null;
end $$;
create trigger announce after insert or update on ledger.budget
  for each row execute function ledger.announce_budget();

create function ledger.make_budget(
  p_org uuid, p_id uuid, p_bucket text, p_currency text, p_scope text, p_scope_id text, p_period text, p_amount bigint,
  p_hard boolean, p_by text
) returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into ledger.budget (org_id, id, account_id, scope, scope_id, period, amount, hard)
    values (p_org, p_id, ledger.open_accounts(p_org, p_bucket, p_currency), p_scope, p_scope_id, p_period, p_amount, p_hard);
  insert into ledger.budget_change (org_id, budget_id, n, amount, hard, ended, made_by)
    values (p_org, p_id, 1, p_amount, p_hard, false, p_by);
end $$;

-- What is null stays as it is. Answers whether the budget is there and in force.
create function ledger.change_budget(p_org uuid, p_id uuid, p_amount bigint, p_hard boolean, p_end boolean, p_by text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare g ledger.budget;
begin
  update ledger.budget set amount = coalesce(p_amount, amount), hard = coalesce(p_hard, hard),
      ended_at = case when p_end then clock_timestamp() end
    where org_id = p_org and id = p_id and ended_at is null returning * into g;
  if g.id is null then return false; end if;
  insert into ledger.budget_change (org_id, budget_id, n, amount, hard, ended, made_by)
    select p_org, p_id, max(c.n) + 1, g.amount, g.hard, p_end, p_by
      from ledger.budget_change c where c.org_id = p_org and c.budget_id = p_id;
  return true;
end $$;

revoke all on function ledger.announce_budget, ledger.make_budget, ledger.change_budget from public;
grant select on ledger.budget, ledger.budget_change, ledger.budget_use, ledger.budget_event to forge_app;
grant execute on function ledger.make_budget, ledger.change_budget to forge_app;
