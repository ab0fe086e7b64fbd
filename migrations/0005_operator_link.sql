-- One-time links by which the first operator enters: printed to the terminal of whoever started the gateway, so that being
-- first on the network never makes an operator.

create table tenancy.operator_code (
  code_sha256 bytea primary key,
  expires_at timestamptz not null,
  used_at timestamptz
);
grant select, insert, update on tenancy.operator_code to forge_app;
