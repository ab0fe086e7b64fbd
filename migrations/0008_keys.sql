-- API keys that can be rotated, narrowed further and looked back upon; and the log of every change by people and operators.

-- A key has as many secrets as rotations have not ended yet; requests of each count to the key. Only their SHA-256 is here.
create table tenancy.api_key_secret (
  org_id uuid not null,
  id uuid not null unique,
  key_id uuid not null,
  prefix text not null check (prefix ~ '^sk-tf-[0-9A-Za-z]{4}$'),
  key_sha256 bytea not null unique check (length(key_sha256) = 32),
  created_at timestamptz not null default clock_timestamp(),
  -- When the overlap of its rotation ends.
  ends_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  primary key (org_id, id),
  foreign key (org_id, key_id) references tenancy.api_key (org_id, id)
);
create index api_key_secret_by_key on tenancy.api_key_secret (key_id, id);

insert into tenancy.api_key_secret (org_id, id, key_id, prefix, key_sha256, created_at, last_used_at)
  select org_id, id, id, prefix, key_sha256, created_at, last_used_at from tenancy.api_key;

-- The hash of a secret stands in one place.
alter table tenancy.api_key drop column key_sha256;

-- Null: no limit. max_charge is {bucket: nano as text}: a number of JSON would be read as a float.
alter table tenancy.api_key
  add column buckets text[],
  add column max_charge jsonb check (jsonb_typeof(max_charge) = 'object'),
  add column allowed_networks text[];
alter table tenancy.project
  add column state text not null default 'active' check (state in ('active', 'paused'));

drop trigger announce on tenancy.api_key;
create trigger announce
  after insert or delete or update of label, policy, allow_cross_balance, models, route_names, max_attempts, state, expires_at,
    buckets, max_charge, allowed_networks
  on tenancy.api_key for each row execute function tenancy.announce_key();
drop trigger announce on tenancy.project;
create trigger announce after update of name, state on tenancy.project
  for each row execute function tenancy.announce_name('project');

create function tenancy.announce_secret() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  if tg_op = 'UPDATE' and (
      old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at
      or old.ends_at is not null and (new.ends_at is null or new.ends_at > old.ends_at)) then
    raise exception 'a secret that ends does not come back' using errcode = 'integrity_constraint_violation';
  end if;
  perform pg_notify('forge_key', case when tg_op = 'DELETE' then old.key_id else new.key_id end::text);
  return null;
end $$;
create trigger announce after insert or delete or update of ends_at, revoked_at on tenancy.api_key_secret
  for each row execute function tenancy.announce_secret();

-- Spend so far and recent failures of a key, without reading a document or another key's rows.
create index receipt_by_key on ledger.receipt (api_key_id, created_at) include (bucket, status, charge);

-- Who changed what, written in the transaction of the change. Never a secret: prefixes are all that is told of one.
create table tenancy.audit_event (
  seq bigint generated always as identity primary key,
  -- Null for what concerns the installation.
  org_id uuid,
  at timestamptz not null default clock_timestamp(),
  actor_kind text not null check (actor_kind in ('operator', 'key', 'system')),
  actor_id uuid,
  action text not null,
  object_kind text not null,
  object_id uuid not null,
  before jsonb,
  after jsonb,
  request_id uuid,
  address text
);
create index audit_event_by_org on tenancy.audit_event (org_id, seq);
create index audit_event_by_object on tenancy.audit_event (object_id, org_id, seq);

create function tenancy.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete or truncate on tenancy.audit_event
  for each statement execute function tenancy.refuse_change();

-- Money that an operator moves is moved by the ledger, in a batch with requests. Who asked for it is written before, under
-- the same id; this writes what became of it, in the ledger's own transaction, whoever made it. Charges never come here.
create function tenancy.audit_funding() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into tenancy.audit_event (org_id, actor_kind, actor_id, action, object_kind, object_id, after, request_id, address)
    select new.org_id, coalesce(asked.actor_kind, 'system'), asked.actor_id, new.kind || '.add', 'transfer', new.id,
        jsonb_build_object('bucket', a.bucket, 'currency', a.currency, 'reason', new.reason,
          'amount', trim_scale(new.amount::numeric / 1000000000)::text),
        asked.request_id, asked.address
      from ledger.account a
      left join lateral (select e.actor_kind, e.actor_id, e.request_id, e.address from tenancy.audit_event e
        where e.object_id = new.id and e.org_id = new.org_id and e.action = new.kind || '.ask'
        order by e.seq desc limit 1) asked on true
      where a.org_id = new.org_id and a.id = new.account_id;
  return null;
end $$;
create trigger audited after insert on ledger.transfer
  for each row when (new.kind in ('grant', 'topup', 'adjust', 'refund')) execute function tenancy.audit_funding();

-- Answers to management calls with an Idempotency-Key, for a day. What such a call makes has the id that was chosen here
-- first, so that a repeat after a crash finds it. The answer of a call that shows a secret is not kept.
create table tenancy.management_request (
  actor text not null,
  key_sha256 bytea not null,
  request_sha256 bytea not null,
  object_id uuid not null,
  status int,
  answer text,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz not null default clock_timestamp(),
  primary key (actor, key_sha256)
);
create index management_request_by_age on tenancy.management_request (created_at);

revoke all on function tenancy.announce_secret, tenancy.refuse_change, tenancy.audit_funding from public;
grant select, insert on tenancy.api_key_secret to forge_app;
grant update (ends_at, revoked_at, last_used_at) on tenancy.api_key_secret to forge_app;
grant update (buckets, max_charge, allowed_networks, prefix) on tenancy.api_key to forge_app;
grant update (state) on tenancy.project to forge_app;
-- Neither the number nor the time of an event is the writer's to choose.
grant select on tenancy.audit_event to forge_app;
grant insert (org_id, actor_kind, actor_id, action, object_kind, object_id, before, after, request_id, address)
  on tenancy.audit_event to forge_app;
grant select, insert, delete on tenancy.management_request to forge_app;
grant update (status, answer, started_at) on tenancy.management_request to forge_app;
