-- Outcomes of requests that carried an Idempotency-Key: the same key and body get the same answer, also after a
-- restart, and are never charged twice.

create schema gateway;
grant usage on schema gateway to forge_app;

create table gateway.idempotency (
  org_id uuid not null,
  project_id uuid not null,
  key_sha256 bytea not null,
  body_sha256 bytea not null,
  request_id uuid not null,
  process_id uuid not null,
  status int,
  headers text,
  answer bytea,
  created_at timestamptz not null default clock_timestamp(),
  stored_at timestamptz,
  primary key (org_id, project_id, key_sha256)
);
create index idempotency_by_age on gateway.idempotency (created_at);

grant select, insert, update, delete on gateway.idempotency to forge_app;
