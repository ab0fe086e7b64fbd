-- What happened, as events for programs and people: a feed per organization, webhooks and mails that carry it, alerts.
-- Nothing here is written by a request. One reader follows what requests, operators and the catalog append anyway, by the
-- number of the transaction that wrote it, and only up to the oldest one that still runs: what commits late is not passed by.

-- Existing rows get the number of this transaction, which is below where the reader begins.
alter table tenancy.audit_event add column xid xid8 not null default pg_current_xact_id();
alter table catalog.price_version add column xid xid8 not null default pg_current_xact_id();

create index receipt_by_xid on ledger.receipt (xid);
create index transfer_by_xid on ledger.transfer (xid) where kind in ('grant', 'topup');
create index budget_event_by_xid on ledger.budget_event (xid);
create index audit_event_by_xid on tenancy.audit_event (xid) where action in ('key.revoke', 'key.exposed');
create index price_version_by_xid on catalog.price_version (xid);

create schema events;
grant usage on schema events to forge_app;

create function events.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = 'restrict_violation';
end $$;

create table events.event (
  org_id uuid not null,
  -- Made from the cause, so that a cause has one event however often it is read.
  id uuid not null,
  -- Writers come one after the other (an advisory lock), so its order is the order of commits.
  seq bigint generated always as identity unique,
  type text not null,
  project_id uuid,
  at timestamptz not null,
  -- The body as every delivery sends it, to the byte.
  payload text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id)
);
create index event_by_org on events.event (org_id, seq);
create trigger append_only before update or delete or truncate on events.event
  for each statement execute function events.refuse_change();

-- Where each worker is. Its row is the lock that makes it one over all processes.
create table events.progress (
  worker text primary key,
  position xid8 not null default '0',
  -- What is older is passed over: a restored database numbers its transactions anew.
  since timestamptz not null default '-infinity',
  -- By the clock of the process that did it last.
  at timestamptz not null default '-infinity'
);
insert into events.progress (worker, position) values
  ('feed', (pg_current_xact_id()::text::numeric + 1)::text::xid8), ('alerts', '0');

create schema webhooks;
grant usage on schema webhooks to forge_app;

create table webhooks.endpoint (
  org_id uuid not null,
  id uuid not null unique,
  -- Only what happens in this project; null: everything of the organization.
  project_id uuid,
  url text not null check (length(url) <= 2048),
  description text not null check (length(description) <= 256),
  types text[] not null check (cardinality(types) > 0),
  -- Who is told when it is disabled.
  emails text[] not null default '{}',
  language text not null default 'en' check (language in ('en', 'zh')),
  state text not null default 'active' check (state in ('active', 'paused', 'disabled', 'ended')),
  -- The first failure since the last success.
  failing_since timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id)
);

create table webhooks.secret (
  org_id uuid not null,
  id uuid not null unique,
  endpoint_id uuid not null,
  -- Encrypted with a key of the installation, bound to this row.
  sealed bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  -- When the overlap of its rotation ends.
  ends_at timestamptz,
  primary key (org_id, id),
  foreign key (org_id, endpoint_id) references webhooks.endpoint (org_id, id)
);
create index secret_by_endpoint on webhooks.secret (endpoint_id, created_at);

-- One event to one receiver: an endpoint or a mailbox.
create table webhooks.delivery (
  org_id uuid not null,
  id uuid not null unique default gen_random_uuid(),
  seq bigint generated always as identity unique,
  event_id uuid not null,
  endpoint_id uuid,
  email text check (length(email) <= 320),
  language text not null default 'en',
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  -- All attempts, and those since it was queued or replayed last, which the waits are counted by.
  attempts int not null default 0,
  tries int not null default 0,
  -- Whoever takes it up moves this ahead by more than an attempt takes: if that process dies, it is due again.
  next_at timestamptz not null,
  last_status int,
  last_error text,
  created_at timestamptz not null default clock_timestamp(),
  done_at timestamptz,
  primary key (org_id, id),
  check ((endpoint_id is null) <> (email is null)),
  foreign key (org_id, event_id) references events.event (org_id, id),
  foreign key (org_id, endpoint_id) references webhooks.endpoint (org_id, id)
);
create unique index delivery_once on webhooks.delivery (org_id, event_id, endpoint_id) where endpoint_id is not null;
create unique index delivery_once_by_mail on webhooks.delivery (org_id, event_id, email) where email is not null;
create index delivery_due on webhooks.delivery (endpoint_id, next_at) where state = 'pending';
create index delivery_by_endpoint on webhooks.delivery (endpoint_id, seq);

create table webhooks.attempt (
  org_id uuid not null,
  delivery_id uuid not null,
  n int not null,
  at timestamptz not null,
  -- Null where no answer came.
  status int,
  latency_ms int not null,
  error text check (length(error) <= 256),
  -- Null where no further attempt is planned.
  next_at timestamptz,
  primary key (org_id, delivery_id, n)
);
create trigger append_only before update or delete or truncate on webhooks.attempt
  for each statement execute function events.refuse_change();

create schema alerts;
grant usage on schema alerts to forge_app;

create table alerts.rule (
  org_id uuid not null,
  id uuid not null unique,
  kind text not null,
  -- As the kind declares them.
  parameters jsonb not null,
  description text not null check (length(description) <= 256),
  emails text[] not null default '{}',
  language text not null default 'en' check (language in ('en', 'zh')),
  cooldown_minutes int not null check (cooldown_minutes >= 0),
  state text not null default 'active' check (state in ('active', 'paused', 'ended')),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id)
);

create table alerts.alert (
  org_id uuid not null,
  id uuid not null unique,
  seq bigint generated always as identity unique,
  rule_id uuid not null,
  -- What it is about: a model, the id of a key, and so on.
  subject text not null,
  figures jsonb not null,
  raised_at timestamptz not null,
  resolved_at timestamptz,
  acknowledged_at timestamptz,
  acknowledged_by text,
  primary key (org_id, id),
  foreign key (org_id, rule_id) references alerts.rule (org_id, id)
);
create unique index alert_open on alerts.alert (rule_id, subject) where resolved_at is null;
create index alert_by_org on alerts.alert (org_id, seq);
create index alert_by_rule on alerts.alert (rule_id, subject, resolved_at);

-- What rules look at, added up while the feed is read: for organizations with rules, by minute for two hours and by hour
-- for fifteen days. Texts are empty and ids zero where a request had none: a key of nulls would hold rows twice.
create table alerts.usage (
  org_id uuid not null,
  step text not null check (step in ('minute', 'hour')),
  at timestamptz not null,
  project_id uuid not null,
  key_id uuid not null,
  run_id uuid not null,
  model text not null,
  route text not null,
  bucket text not null,
  requests bigint not null,
  failed bigint not null,
  fallbacks bigint not null,
  charge bigint not null,
  primary key (org_id, step, at, project_id, key_id, run_id, model, route, bucket)
) with (fillfactor = 80);
create index usage_by_age on alerts.usage (step, at);

-- Completed requests by how long they took, in steps of 2^(1/8).
create table alerts.latency (
  org_id uuid not null,
  at timestamptz not null,
  project_id uuid not null,
  key_id uuid not null,
  model text not null,
  route text not null,
  bin smallint not null,
  requests bigint not null,
  primary key (org_id, at, project_id, key_id, model, route, bin)
) with (fillfactor = 80);
create index latency_by_age on alerts.latency (at);

revoke all on function events.refuse_change from public;
grant select on all tables in schema events, webhooks, alerts to forge_app;
grant insert (org_id, id, type, project_id, at, payload) on events.event to forge_app;
grant update on events.progress to forge_app;
grant insert (org_id, id, project_id, url, description, types, emails, language) on webhooks.endpoint to forge_app;
grant update (project_id, url, description, types, emails, language, state, failing_since) on webhooks.endpoint to forge_app;
grant insert (org_id, id, endpoint_id, sealed) on webhooks.secret to forge_app;
grant update (ends_at) on webhooks.secret to forge_app;
grant insert (org_id, event_id, endpoint_id, email, language, next_at) on webhooks.delivery to forge_app;
grant update (state, attempts, tries, next_at, last_status, last_error, done_at) on webhooks.delivery to forge_app;
grant insert on webhooks.attempt to forge_app;
grant insert (org_id, id, kind, parameters, description, emails, language, cooldown_minutes) on alerts.rule to forge_app;
grant update (parameters, description, emails, language, cooldown_minutes, state) on alerts.rule to forge_app;
grant insert (org_id, id, rule_id, subject, figures, raised_at) on alerts.alert to forge_app;
grant update (resolved_at, acknowledged_at, acknowledged_by) on alerts.alert to forge_app;
grant insert, update, delete on alerts.usage, alerts.latency to forge_app;

-- Customers see and change their own, and raise the event of a test.
do $$
declare t regclass;
begin
  for t in select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id'
    where n.nspname in ('events', 'webhooks', 'alerts') and c.relkind = 'r'
  loop
    call tenancy.fence(t);
  end loop;
end $$;
grant usage on schema events, webhooks, alerts to forge_tenant;
grant select on events.event, webhooks.endpoint, webhooks.secret, webhooks.delivery, webhooks.attempt, alerts.rule, alerts.alert
  to forge_tenant;
grant insert (org_id, id, type, project_id, at, payload) on events.event to forge_tenant;
grant insert (org_id, id, project_id, url, description, types, emails, language) on webhooks.endpoint to forge_tenant;
grant update (project_id, url, description, types, emails, language, state, failing_since) on webhooks.endpoint to forge_tenant;
grant insert (org_id, id, endpoint_id, sealed) on webhooks.secret to forge_tenant;
grant update (ends_at) on webhooks.secret to forge_tenant;
grant insert (org_id, event_id, endpoint_id, email, language, next_at) on webhooks.delivery to forge_tenant;
grant update (state, tries, next_at, done_at) on webhooks.delivery to forge_tenant;
grant insert (org_id, id, kind, parameters, description, emails, language, cooldown_minutes) on alerts.rule to forge_tenant;
grant update (parameters, description, emails, language, cooldown_minutes, state) on alerts.rule to forge_tenant;
grant update (acknowledged_at, acknowledged_by) on alerts.alert to forge_tenant;
