-- People who sign in: what the sign-in library keeps of them, in columns of ours, and which of them operate this
-- installation. Nothing here lets anybody in who reads it: passwords are scrypt, tokens of sessions SHA-256, the secrets of
-- second factors are encrypted, and the names of one-time values are hashed.

create schema identity;
grant usage on schema identity to forge_app;

create table identity.person (
  id uuid primary key,
  name text not null check (length(name) <= 128),
  email text not null unique check (email = lower(email) and length(email) <= 320),
  email_verified boolean not null default false,
  image text,
  two_factor_enabled boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);

create table identity.session (
  id uuid primary key,
  token_sha256 text not null unique check (token_sha256 ~ '^[0-9a-f]{64}$'),
  user_id uuid not null references identity.person on delete cascade,
  expires_at timestamptz not null,
  ip_address text,
  user_agent text check (length(user_agent) <= 512),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
create index session_by_user on identity.session (user_id);
create index session_by_end on identity.session (expires_at);

-- A way to sign in: a password, or an account with a provider. The provider's tokens are never kept.
create table identity.account (
  id uuid primary key,
  user_id uuid not null references identity.person on delete cascade,
  provider_id text not null,
  account_id text not null,
  password text,
  scope text,
  access_token text check (access_token is null),
  refresh_token text check (refresh_token is null),
  id_token text check (id_token is null),
  access_token_expires_at timestamptz,
  refresh_token_expires_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  unique (provider_id, account_id)
);
create index account_by_user on identity.account (user_id);

create table identity.verification (
  id uuid primary key,
  identifier text not null,
  value text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
create index verification_by_identifier on identity.verification (identifier);
create index verification_by_end on identity.verification (expires_at);

create table identity.two_factor (
  id uuid primary key,
  user_id uuid not null unique references identity.person on delete cascade,
  secret text not null,
  backup_codes text not null,
  verified boolean not null default true,
  failed_verification_count int not null default 0,
  locked_until timestamptz
);

create table identity.passkey (
  id uuid primary key,
  user_id uuid not null references identity.person on delete cascade,
  name text check (length(name) <= 128),
  public_key text not null,
  credential_id text not null unique,
  -- Authenticators count to 2^32.
  counter double precision not null,
  device_type text not null,
  backed_up boolean not null,
  transports text,
  aaguid text,
  created_at timestamptz default clock_timestamp()
);
create index passkey_by_user on identity.passkey (user_id);

-- People who operate this installation; an auditor reads everything and changes nothing.
create table identity.operator (
  user_id uuid primary key references identity.person on delete cascade,
  role text not null check (role in ('admin', 'auditor')),
  created_at timestamptz not null default clock_timestamp()
);

-- Attempts to sign in, by what they were counted for (an address, an account), under a hash.
create table identity.attempt (
  key bytea primary key check (length(key) = 32),
  count int not null,
  started_at timestamptz not null default clock_timestamp()
);
create index attempt_by_age on identity.attempt (started_at);

-- However often a session is renewed, a month after its sign-in it is over.
create function identity.cap_session() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
  new.expires_at := least(new.expires_at, new.created_at + interval '30 days');
  return new;
end $$;
create trigger capped before insert or update on identity.session
  for each row execute function identity.cap_session();

-- Every process keeps for seconds who is signed in, and drops it on this word.
create function identity.announce() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
  if tg_table_name = 'person' then
    perform pg_notify('forge_identity', old.id::text);
  elsif tg_op = 'DELETE' then
    perform pg_notify('forge_identity', old.user_id::text);
  else
    perform pg_notify('forge_identity', new.user_id::text);
  end if;
  return null;
end $$;
create trigger announce after update or delete on identity.person
  for each row execute function identity.announce();
create trigger announce after delete on identity.session
  for each row execute function identity.announce();
create trigger announce after insert or update or delete on identity.operator
  for each row execute function identity.announce();

revoke all on function identity.cap_session, identity.announce from public;
grant select, insert on identity.person, identity.session to forge_app;
grant update (name, email_verified, image, two_factor_enabled, updated_at) on identity.person to forge_app;
grant update (expires_at, updated_at) on identity.session to forge_app;
grant delete on identity.session to forge_app;
grant select, insert, update, delete on identity.account, identity.verification, identity.two_factor, identity.passkey,
  identity.operator, identity.attempt to forge_app;
