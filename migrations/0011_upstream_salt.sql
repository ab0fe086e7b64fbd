-- What names of customers' users and caches are sent upstream as: the same for every process and restart, and told to nobody.
-- No credential: whoever has it can tell an alias only of a value that is known already.

create table gateway.upstream_salt (
  one boolean primary key default true check (one),
  value bytea not null check (length(value) = 32)
);
-- Two random UUIDs of the database's strong source: 244 bits.
insert into gateway.upstream_salt (value)
  values (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));
grant select on gateway.upstream_salt to forge_app;
