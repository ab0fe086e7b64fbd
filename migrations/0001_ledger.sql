-- The ledger: double-entry, append-only transfers between accounts. It knows money and never models or HTTP; the
-- documents it keeps beside the money (hold intents, receipts) are opaque text to it.
-- Everything that moves money goes through ledger.apply; the gateway's role may read tables and call functions only.

do $$
begin
  if not exists (select from pg_roles where rolname = 'forge_app') then
    begin
      create role forge_app nologin;
    exception
      when duplicate_object or unique_violation then null;   -- another database of the cluster made it meanwhile
      when insufficient_privilege then
        raise exception 'the role forge_app is missing and this user may not create it'
          using hint = 'As a superuser run: CREATE ROLE forge_app NOLOGIN; GRANT forge_app TO the user of DATABASE_URL.';
    end;
  end if;
  if not pg_has_role(current_user, 'forge_app', 'member') then
    execute format('grant forge_app to %I', current_user);
  end if;
end $$;

create schema ledger;
grant usage on schema ledger to forge_app;

-- Accounts come in sets: one set an organization and bucket, whose ids are base + the kind's offset. The counter
-- account of a movement is therefore known without a look-up, and all money of an organization lives together.
create sequence ledger.account_set as bigint;

create table ledger.account_kind (
  kind text primary key,
  id_offset smallint not null unique check (id_offset between 0 and 7),
  meaning text not null
);
insert into ledger.account_kind values
  ('customer',   0, 'what the organization owns in this bucket; the only kind whose balance is kept on the row'),
  ('revenue',    1, 'what was charged for requests'),
  ('issuance',   2, 'free money given away (grants)'),
  ('cash',       3, 'money that was paid in (top-ups) and paid back (refunds)'),
  ('writeoff',   4, 'what providers reported above the hold and the balance could not pay'),
  ('adjustment', 5, 'corrections by an operator, each with its reason'),
  ('breakage',   6, 'grants that expired unspent');

create table ledger.account (
  org_id uuid not null,
  id bigint not null unique,
  bucket text not null,
  kind text not null references ledger.account_kind,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  posted bigint not null default 0,
  held bigint not null default 0 check (held >= 0),
  seq bigint not null default 0,
  -- 0, or the debt that a refund or chargeback left: the only way below zero.
  floor bigint not null default 0 check (floor <= 0),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id),
  unique (org_id, bucket, kind),
  check (posted - held >= floor),
  -- Platform accounts are appended to and never updated on the hot path; their balance is the sum of their entries.
  check (kind = 'customer' or (posted = 0 and held = 0 and seq = 0))
) with (fillfactor = 50);

-- Money set aside. A row lives while the request runs; its end is a transfer of the same id.
create table ledger.hold (
  org_id uuid not null,
  id uuid not null,
  account_id bigint not null,
  amount bigint not null check (amount >= 0),
  asked bigint not null,
  process_id uuid not null,
  opened_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  intent text not null,
  progress text,
  -- The budget windows it counts against (ids of ledger.budget_use); null for none.
  budgets bigint[],
  primary key (org_id, id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- What was decided, once per id: an id that was refused stays refused, an id that ended stays ended.
create table ledger.transfer (
  org_id uuid not null,
  id uuid not null,
  kind text not null check (kind in ('charge', 'release', 'expire', 'refused', 'grant', 'topup', 'adjust', 'refund')),
  account_id bigint not null,
  -- The operation's own figure; a replay must bring the same one.
  asked bigint not null,
  -- What the customer's account changed by (negative: it paid).
  amount bigint not null,
  -- What was set aside before, for endings of holds.
  held bigint not null default 0,
  -- What the reserve had asked for; a replay of it that comes after the ending must bring the same figure.
  hold_asked bigint,
  reverses uuid,
  reason text,
  -- A charge: the budget windows it was counted in, those of its hold. A refused reserve: the one that refused it.
  budgets bigint[],
  -- Commit order differs from id order; readers that follow the log go by (xid, …) below the oldest running one.
  xid xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, id),
  check (kind not in ('release', 'expire', 'refused') or amount = 0),
  check (kind <> 'charge' or amount <= 0),
  check (kind not in ('grant', 'topup') or amount > 0),
  check (kind <> 'refund' or amount < 0),
  -- A correction by nothing would take a number of the walk without an entry.
  check (kind <> 'adjust' or amount <> 0)
);

create table ledger.entry (
  org_id uuid not null,
  transfer_id uuid not null,
  line smallint not null,
  account_id bigint not null,
  currency text not null,
  amount bigint not null check (amount <> 0),
  -- Customer accounts only: the entries of an account form an unbroken walk 1 … n.
  account_seq bigint,
  balance_after bigint,
  primary key (org_id, transfer_id, line),
  check ((account_seq is null) = (balance_after is null))
);
create unique index entry_walk on ledger.entry (account_id, account_seq) where account_seq is not null;

-- The document of a request, written in the commit that moves its money (or refuses to). The columns are for
-- finding it; the document is the record.
create table ledger.receipt (
  org_id uuid not null,
  id uuid not null,
  project_id uuid not null,
  api_key_id uuid not null,
  run_id uuid,
  status text not null,
  bucket text,
  route text,
  model text,
  charge bigint not null default 0 check (charge >= 0),
  created_at timestamptz not null,
  xid xid8 not null default pg_current_xact_id(),
  document text not null,
  primary key (org_id, id)
);
create index receipt_by_id on ledger.receipt (id);
create index receipt_by_run on ledger.receipt (run_id, id) where run_id is not null;

-- Money by origin, so that "which money paid this" can be answered later without touching the hot path.
create table ledger.lot (
  org_id uuid not null,
  transfer_id uuid not null,
  account_id bigint not null,
  amount bigint not null check (amount > 0),
  origin text not null check (origin in ('grant', 'topup', 'adjust')),
  expires_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (org_id, transfer_id)
);

-- Which processes are alive, by the database's clock: holds of a process that stopped beating are recovered.
create table ledger.process (
  id uuid primary key,
  started_at timestamptz not null default clock_timestamp(),
  beat_at timestamptz not null default clock_timestamp()
);

-- Every function names pg_temp last in its path: unnamed, it would be searched first, and a caller's temporary type of
-- the name of one of ours would run the caller's code with the owner's rights.
create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = 'restrict_violation';
end $$;

do $$
declare t text;
begin
  foreach t in array array['transfer', 'entry', 'receipt', 'lot', 'account_kind'] loop
    execute format('create trigger append_only before update or delete or truncate on ledger.%I
      for each statement execute function ledger.refuse_change()', t);
  end loop;
end $$;

create function ledger.entries_balance() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from added group by org_id, transfer_id
      having sum(amount) <> 0 or count(*) < 2 or min(currency collate "C") <> max(currency collate "C")) then
    raise exception 'a transfer does not sum to zero in one currency' using errcode = 'integrity_constraint_violation';
  end if;
  return null;
end $$;
create trigger entries_balance after insert on ledger.entry
  referencing new table as added for each statement execute function ledger.entries_balance();

-- Opens the account set of an organization and bucket, once.
create function ledger.open_accounts(p_org uuid, p_bucket text, p_currency text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare v_base bigint; v_currency text;
begin
  select id, currency into v_base, v_currency from ledger.account
    where org_id = p_org and bucket = p_bucket and kind = 'customer';
  if v_base is null then
    perform pg_advisory_xact_lock(hashtextextended(p_org::text || p_bucket, 7));
    select id, currency into v_base, v_currency from ledger.account
      where org_id = p_org and bucket = p_bucket and kind = 'customer';
  end if;
  if v_base is null then
    v_base := nextval('ledger.account_set') * 8;
    v_currency := p_currency;
    insert into ledger.account (org_id, id, bucket, kind, currency)
      select p_org, v_base + k.id_offset, p_bucket, k.kind, p_currency from ledger.account_kind k;
  end if;
  if v_currency <> p_currency then
    raise exception 'bucket % of this organization is in %, not in %', p_bucket, v_currency, p_currency
      using errcode = 'integrity_constraint_violation';
  end if;
  return v_base;
end $$;

-- One element of what apply answers as limits.
create function ledger.limit_text(p_op int, p_budget uuid, p_start timestamptz, p_amount bigint, p_used bigint, p_held bigint)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
  select concat(p_op, ',', p_budget, ',', (extract(epoch from p_start) * 1000)::bigint, ',', p_amount, ',', p_used, ',', p_held, ';');
$$;

-- Applies a batch, in the order given, all or nothing. Ops are columns of equal length:
--   code     1 reserve  2 extend  3 renew  4 settle  5 void  6 expire  7 grant  8 topup  9 adjust  10 refund  11 record
--   amount   reserve: wanted · extend: the new total · settle: to charge · grant, topup, refund: > 0 · adjust: signed
--   minimum  reserve: the least that is of use · extend: the least new total · between the two, what is available is taken
--   ttl      holds: milliseconds from now · grant, topup: seconds until what is unspent expires, 0 for never
--   notes    one text, U+001E behind each; U+001F alone stands for none. Long texts cost twice their time as quoted arrays
--   note     reserve: the intent · extend, renew: progress so far · others: the reason
--   receipts are separate, shorter columns; r_op is the index (1-based) of the op whose success writes the receipt.
--   budgets (migrations/0007_budget.sql) likewise: b_op reserves against the window of b_budget that begins at b_window
-- Verdicts: 0 done · 1 done before (the same answer again) · 2 refused: not enough available · 3 another op has this id
--   · 4 no such open hold · 5 not expired yet · 6 no such account · 7 the id was refused before · 8 refused: over a budget
-- figure: reserve: what was set aside (refused: what was available) · extend, renew: the total (refused: what was possible)
--   · settle: what the customer paid · void, expire: 0 · funding: the signed movement · 0 with the verdicts 3 to 7.
-- limits: null, or for each op that a budget refused or gave less than it asked for: number, budget, beginning of the window
--   in milliseconds, amount, used, held (before the op), with commas between and a semicolon behind.
create function ledger.apply(
  p_process uuid,
  p_code smallint[], p_org uuid[], p_id uuid[], p_account bigint[], p_amount bigint[], p_minimum bigint[],
  p_ttl int[], p_notes text,
  r_op int[], r_id uuid[], r_project uuid[], r_key uuid[], r_run uuid[], r_status text[], r_bucket text[],
  r_route text[], r_model text[], r_charge bigint[], r_created timestamptz[], r_documents text,
  b_op int[], b_budget uuid[], b_window timestamptz[],
  out verdict smallint[], out figure bigint[], out limits text
) language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
  n constant int := coalesce(array_length(p_code, 1), 0);
  -- With one more element than there are ops: the last separator is behind the last text.
  p_note constant text[] := string_to_array(p_notes, E'\x1e', E'\x1f');
  r_document constant text[] := string_to_array(r_documents, E'\x1e', E'\x1f');
  now_at constant timestamptz := clock_timestamp();
  -- accounts of the batch, locked, by position
  a_id bigint[]; a_org uuid[]; a_currency text[]; a_posted bigint[]; a_held bigint[]; a_seq bigint[]; a_floor bigint[];
  -- per op: position of its account, first op with the same id (its slot), and the slot's state
  pos int[]; slot int[];
  h_amount bigint[]; h_account bigint[]; h_asked bigint[]; h_expires timestamptz[];
  t_kind text[]; t_asked bigint[]; t_amount bigint[]; t_account bigint[]; t_held bigint[]; t_hold_asked bigint[];
  -- budget windows, by position; a list of them is the text of an array of their ids. Per op: what a reserve names, then
  -- what is written with it. Per slot: those of its hold. All null where no op has to do with a budget.
  u_id bigint[]; u_budget uuid[]; u_start timestamptz[]; u_amount bigint[]; u_hard boolean[]; u_was bigint[]; u_kept bigint[]; u_used bigint[];
  u_held bigint[]; op_windows text[]; hold_windows text[];
  -- What the bulk writes work on: the numbers of the ops that open, change, end a hold, leave a transfer, move money …
  opened int[] := '{}'; changed int[] := '{}'; ended int[] := '{}'; closed int[] := '{}'; moved int[] := '{}'; lots int[] := '{}';
  -- … and per op: what its hold had set aside and had asked for, what the customer's account changes by, its number in the
  -- walk, the balance after it, what is written off.
  held bigint[] := array_fill(0::bigint, array[n]);
  wanted bigint[] := array_fill(null::bigint, array[n]);
  change bigint[] := array_fill(0::bigint, array[n]);
  seq_after bigint[] := array_fill(null::bigint, array[n]);
  posted_after bigint[] := array_fill(null::bigint, array[n]);
  written bigint[] := array_fill(0::bigint, array[n]);
  kinds text[] := array_fill(null::text, array[n]);
  i int; k int; s int; c smallint; amount bigint; available bigint; paid bigint;
  w bigint; b int; room bigint; tight int; named text;
begin
  verdict := array_fill(0::smallint, array[n]);
  figure := array_fill(0::bigint, array[n]);
  if n = 0 then return; end if;

  -- Every account of the whole batch is locked in one order before anything is decided: two writers cannot deadlock.
  select array_agg(x.id order by x.id), array_agg(x.org_id order by x.id), array_agg(x.currency order by x.id),
         array_agg(x.posted order by x.id), array_agg(x.held order by x.id), array_agg(x.seq order by x.id),
         array_agg(x.floor order by x.id)
    into a_id, a_org, a_currency, a_posted, a_held, a_seq, a_floor
    from (select a.id, a.org_id, a.currency, a.posted, a.held, a.seq, a.floor from ledger.account a
          where a.id = any (select distinct u.id from unnest(p_account) u(id) where u.id is not null)
            and a.kind = 'customer'
          order by a.id for no key update) x;

  -- A budget is of one account, so the lock of the account is the lock of its windows as well.
  if array_length(b_op, 1) > 0 then
    insert into ledger.budget_use (org_id, budget_id, window_start)
      select distinct g.org_id, g.id, u.start
        from unnest(b_op, b_budget, b_window) u(op, budget, start)
        join ledger.budget g on g.org_id = p_org[u.op] and g.id = u.budget and g.account_id = p_account[u.op]
        where g.ended_at is null
          and not exists (select from ledger.budget_use x
            where x.org_id = g.org_id and x.budget_id = g.id and x.window_start = u.start);
    op_windows := array_fill(null::text, array[n]);
    -- One that has ended meanwhile counts no more; one that is not the account's marks the op.
    for i, named in
        select u.op, case when count(g.id) < count(*) then '' else (array_agg(x.id order by u.n) filter (where x.id is not null))::text end
          from unnest(b_op, b_budget, b_window) with ordinality u(op, budget, start, n)
          left join ledger.budget g on g.org_id = p_org[u.op] and g.id = u.budget and g.account_id = p_account[u.op]
          left join ledger.budget_use x
            on x.org_id = g.org_id and x.budget_id = g.id and x.window_start = u.start and g.ended_at is null
          group by u.op loop
      op_windows[i] := named;
    end loop;
  end if;

  -- Holds and endings are read under the locks, so what is read is what is decided on.
  select array_agg(o.pos order by o.i), array_agg(o.slot order by o.i),
         array_agg(h.amount order by o.i), array_agg(h.account_id order by o.i), array_agg(h.asked order by o.i),
         array_agg(h.expires_at order by o.i),
         array_agg(t.kind order by o.i), array_agg(t.asked order by o.i), array_agg(t.amount order by o.i),
         array_agg(t.account_id order by o.i), array_agg(t.held order by o.i), array_agg(t.hold_asked order by o.i),
         array_agg(coalesce(h.budgets, case when t.kind = 'refused' then t.budgets end)::text order by o.i)
    into pos, slot, h_amount, h_account, h_asked, h_expires, t_kind, t_asked, t_amount, t_account, t_held, t_hold_asked,
         hold_windows
    from (select u.org, u.id, u.i::int, width_bucket(u.account, a_id) as pos,
            (min(u.i) over (partition by u.id, u.org))::int as slot
          from unnest(p_org, p_id, p_account) with ordinality u(org, id, account, i)) o
    left join ledger.hold h on h.org_id = o.org and h.id = o.id
    left join ledger.transfer t on t.org_id = o.org and t.id = o.id;

  if op_windows is not null or array_remove(hold_windows, null) <> '{}' then
    op_windows := coalesce(op_windows, array_fill(null::text, array[n]));
    select array_agg(x.id order by x.id), array_agg(g.id order by x.id), array_agg(x.window_start order by x.id),
           array_agg(g.amount order by x.id), array_agg(g.hard and g.ended_at is null order by x.id),
           array_agg(x.used order by x.id), array_agg(x.held order by x.id),
           array_agg(x.used order by x.id), array_agg(x.held order by x.id)
      into u_id, u_budget, u_start, u_amount, u_hard, u_was, u_kept, u_used, u_held
      from (select distinct v.id from unnest(op_windows || hold_windows) l(list), unnest(l.list::bigint[]) v(id)
            where l.list <> '') v
      join ledger.budget_use x on x.id = v.id
      join ledger.budget g on g.org_id = x.org_id and g.id = x.budget_id;
  end if;

  for i in 1 .. n loop
    c := p_code[i]; s := slot[i]; k := pos[i]; amount := p_amount[i];
    if c = 11 then continue; end if;
    -- An account of another organization is as good as none: ids of accounts are easily guessed.
    if (k > 0 and a_id[k] = p_account[i] and a_org[k] = p_org[i]) is not true then verdict[i] := 6; continue; end if;

    if c = 1 then
      if h_amount[s] is not null then
        if h_account[s] = p_account[i] and h_asked[s] = amount then verdict[i] := 1; figure[i] := h_amount[s];
        else verdict[i] := 3; end if;
        continue;
      end if;
      if t_kind[s] is not null then
        if t_account[s] = p_account[i] and t_hold_asked[s] = amount then verdict[i] := 1; figure[i] := t_held[s];
        elsif t_account[s] = p_account[i] and t_kind[s] = 'refused' and t_asked[s] = amount then
          verdict[i] := 7;
          if hold_windows[s] is not null then
            b := width_bucket((hold_windows[s]::bigint[])[1], u_id);
            limits := concat(limits, ledger.limit_text(i, u_budget[b], u_start[b], u_amount[b], u_used[b], u_held[b]));
          end if;
        else verdict[i] := 3; end if;
        continue;
      end if;
      available := a_posted[k] - a_held[k]; room := available; tight := null;
      if op_windows[i] is not null then
        if op_windows[i] = '' then
          raise exception 'a reserve names a budget that is not of its account' using errcode = 'integrity_constraint_violation';
        end if;
        foreach w in array op_windows[i]::bigint[] loop
          b := width_bucket(w, u_id);
          if u_hard[b] and u_amount[b] - u_used[b] - u_held[b] < room then
            room := u_amount[b] - u_used[b] - u_held[b]; tight := b;
          end if;
        end loop;
      end if;
      named := case when tight is not null then
        ledger.limit_text(i, u_budget[tight], u_start[tight], u_amount[tight], u_used[tight], u_held[tight]) end;
      if room >= least(p_minimum[i], amount) and room > 0 or amount = 0 then
        paid := least(amount, greatest(room, 0));
        a_held[k] := a_held[k] + paid;
        figure[i] := paid; opened := opened || i;
        h_amount[s] := paid; h_account[s] := p_account[i]; h_asked[s] := amount;
        h_expires[s] := now_at + p_ttl[i] * interval '1 millisecond';
        if op_windows[i] is not null then
          if paid < amount then limits := concat(limits, named); end if;
          hold_windows[s] := op_windows[i];
          foreach w in array op_windows[i]::bigint[] loop
            b := width_bucket(w, u_id); u_held[b] := u_held[b] + paid;
          end loop;
        end if;
      else
        -- The balance is named first: a budget is to blame only where the money is there.
        if available >= least(p_minimum[i], amount) and available > 0 then
          verdict[i] := 8; figure[i] := room; limits := concat(limits, named);
          op_windows[i] := array[u_id[tight]]::text; hold_windows[s] := op_windows[i];
        else
          verdict[i] := 2; figure[i] := available;
          if op_windows is not null then op_windows[i] := null; end if;
        end if;
        kinds[i] := 'refused'; closed := closed || i;
        t_kind[s] := 'refused'; t_asked[s] := amount; t_amount[s] := 0; t_account[s] := p_account[i];
      end if;

    elsif c in (2, 3) then
      if h_amount[s] is null or h_account[s] <> p_account[i] then verdict[i] := 4; continue; end if;
      if c = 2 and amount > h_amount[s] then
        available := greatest(a_posted[k] - a_held[k], 0); room := available; tight := null;
        if hold_windows[s] is not null then
          foreach w in array hold_windows[s]::bigint[] loop
            b := width_bucket(w, u_id);
            if u_hard[b] and u_amount[b] - u_used[b] - u_held[b] < room then
              room := greatest(u_amount[b] - u_used[b] - u_held[b], 0); tight := b;
            end if;
          end loop;
        end if;
        paid := least(amount, h_amount[s] + room);
        if paid < least(p_minimum[i], amount) and h_amount[s] + available < least(p_minimum[i], amount) then
          verdict[i] := 2; figure[i] := paid; continue;
        end if;
        if tight is not null and paid < amount then
          limits := concat(limits,
            ledger.limit_text(i, u_budget[tight], u_start[tight], u_amount[tight], u_used[tight], u_held[tight]));
        end if;
        if paid < least(p_minimum[i], amount) then verdict[i] := 8; figure[i] := paid; continue; end if;
        if hold_windows[s] is not null then
          foreach w in array hold_windows[s]::bigint[] loop
            b := width_bucket(w, u_id); u_held[b] := u_held[b] + paid - h_amount[s];
          end loop;
        end if;
        a_held[k] := a_held[k] + paid - h_amount[s];
        h_amount[s] := paid;
      end if;
      h_expires[s] := now_at + p_ttl[i] * interval '1 millisecond';
      figure[i] := h_amount[s]; changed := changed || i;

    elsif c in (4, 5, 6) then
      if t_kind[s] is not null then
        if t_account[s] = p_account[i] and t_asked[s] = amount
          and t_kind[s] = (case c when 4 then 'charge' when 5 then 'release' else 'expire' end)
        then verdict[i] := 1; figure[i] := -t_amount[s];
        else verdict[i] := 3; end if;
        continue;
      end if;
      if h_amount[s] is null or h_account[s] <> p_account[i] then verdict[i] := 4; continue; end if;
      if c = 6 and h_expires[s] > now_at then verdict[i] := 5; continue; end if;
      a_held[k] := a_held[k] - h_amount[s];
      paid := 0;
      if c = 4 then
        -- Never more than was set aside (an extension comes before); the rest is the operator's loss, and visible.
        paid := least(amount, h_amount[s]);
        written[i] := amount - paid;
        if paid > 0 then
          a_posted[k] := a_posted[k] - paid; a_seq[k] := a_seq[k] + 1;
          seq_after[i] := a_seq[k]; posted_after[i] := a_posted[k];
        end if;
        if amount > 0 then moved := moved || i; end if;
      end if;
      if hold_windows[s] is not null then
        foreach w in array hold_windows[s]::bigint[] loop
          b := width_bucket(w, u_id);
          u_held[b] := u_held[b] - h_amount[s]; u_used[b] := u_used[b] + paid;
        end loop;
        if paid > 0 then op_windows[i] := hold_windows[s]; end if;
      end if;
      ended := ended || i; closed := closed || i; figure[i] := paid; change[i] := -paid;
      kinds[i] := case c when 4 then 'charge' when 5 then 'release' else 'expire' end;
      held[i] := h_amount[s]; wanted[i] := h_asked[s];
      t_held[s] := h_amount[s]; t_hold_asked[s] := h_asked[s]; h_amount[s] := null;
      t_kind[s] := kinds[i]; t_asked[s] := amount; t_amount[s] := -paid; t_account[s] := p_account[i];

    else
      if t_kind[s] is not null or h_amount[s] is not null then
        if t_account[s] = p_account[i] and t_asked[s] = amount
          and t_kind[s] = (case c when 7 then 'grant' when 8 then 'topup' when 9 then 'adjust' else 'refund' end)
        then verdict[i] := 1; figure[i] := t_amount[s];
        else verdict[i] := 3; end if;
        continue;
      end if;
      paid := case when c = 10 then -amount else amount end;
      -- A correction by an operator may not create a debt; a refund of money that was spent may, and then blocks.
      if c = 9 and paid < 0 and a_posted[k] - a_held[k] + paid < 0 then
        verdict[i] := 2; figure[i] := a_posted[k] - a_held[k]; continue;
      end if;
      a_posted[k] := a_posted[k] + paid; a_seq[k] := a_seq[k] + 1;
      if c = 10 then a_floor[k] := least(a_floor[k], a_posted[k] - a_held[k]); end if;
      seq_after[i] := a_seq[k]; posted_after[i] := a_posted[k];
      figure[i] := paid; change[i] := paid; closed := closed || i; moved := moved || i;
      if c <> 10 and paid > 0 then lots := lots || i; end if;
      kinds[i] := case c when 7 then 'grant' when 8 then 'topup' when 9 then 'adjust' else 'refund' end;
      t_kind[s] := kinds[i]; t_asked[s] := amount; t_amount[s] := paid; t_account[s] := p_account[i];
    end if;
  end loop;

  -- Each write walks its list and takes the columns by number: a table of ten arrays would cost more than the write.
  if array_length(opened, 1) > 0 then
    insert into ledger.hold (org_id, id, account_id, amount, asked, process_id, opened_at, expires_at, intent, budgets)
      select p_org[u.i], p_id[u.i], p_account[u.i], figure[u.i], p_amount[u.i], p_process, now_at,
          now_at + p_ttl[u.i] * interval '1 millisecond', p_note[u.i], op_windows[u.i]::bigint[]
      from unnest(opened) u(i);
  end if;
  if array_length(changed, 1) > 0 then
    update ledger.hold h set amount = u.figure, expires_at = now_at + u.ttl * interval '1 millisecond',
        progress = coalesce(u.note, h.progress), process_id = p_process
      from (select p_org[v.i] as org, p_id[v.i] as id, (array_agg(figure[v.i] order by v.i desc))[1] as figure,
            (array_agg(p_ttl[v.i] order by v.i desc))[1] as ttl,
            (array_agg(p_note[v.i] order by v.i desc) filter (where p_note[v.i] is not null))[1] as note
          from unnest(changed) v(i) group by 1, 2) u
      where h.org_id = u.org and h.id = u.id;
  end if;
  if array_length(ended, 1) > 0 then
    delete from ledger.hold h using unnest(ended) u(i) where h.org_id = p_org[u.i] and h.id = p_id[u.i];
  end if;
  if array_length(closed, 1) > 0 then
    insert into ledger.transfer (org_id, id, kind, account_id, asked, amount, held, hold_asked, reason, budgets)
      select p_org[u.i], p_id[u.i], kinds[u.i], p_account[u.i], p_amount[u.i], change[u.i], held[u.i], wanted[u.i],
          case when p_code[u.i] >= 5 then p_note[u.i] end, op_windows[u.i]::bigint[]
      from unnest(closed) u(i);
  end if;
  if array_length(moved, 1) > 0 then
    -- The customer's line, the platform's (accounts of a set lie side by side), and what the operator loses.
    insert into ledger.entry (org_id, transfer_id, line, account_id, currency, amount, account_seq, balance_after)
      select p_org[u.i], p_id[u.i], 1, p_account[u.i], a_currency[pos[u.i]], change[u.i], seq_after[u.i], posted_after[u.i]
        from unnest(moved) u(i) where change[u.i] <> 0
      union all
      select p_org[u.i], p_id[u.i], 2, p_account[u.i] + case p_code[u.i] when 4 then 1 when 7 then 2 when 9 then 5 else 3 end,
          a_currency[pos[u.i]], written[u.i] - change[u.i], null, null
        from unnest(moved) u(i)
      union all
      select p_org[u.i], p_id[u.i], 3, p_account[u.i] + 4, a_currency[pos[u.i]], -written[u.i], null, null
        from unnest(moved) u(i) where written[u.i] <> 0;
  end if;
  if array_length(lots, 1) > 0 then
    insert into ledger.lot (org_id, transfer_id, account_id, amount, origin, expires_at)
      select p_org[u.i], p_id[u.i], p_account[u.i], figure[u.i], kinds[u.i],
          case when p_ttl[u.i] > 0 then now_at + p_ttl[u.i] * interval '1 second' end
      from unnest(lots) u(i);
  end if;
  if array_length(r_op, 1) > 0 then
    -- A document over another amount than the one that moves must never stand beside it.
    if exists (select from generate_subscripts(r_op, 1) g(r)
        where verdict[r_op[g.r]] = 0 and r_charge[g.r] <> case p_code[r_op[g.r]] when 4 then figure[r_op[g.r]] else 0 end) then
      raise exception 'a receipt states another charge than the one that is made' using errcode = 'integrity_constraint_violation';
    end if;
    insert into ledger.receipt (org_id, id, project_id, api_key_id, run_id, status, bucket, route, model, charge, created_at, document)
      select p_org[r_op[g.r]], r_id[g.r], r_project[g.r], r_key[g.r], r_run[g.r], r_status[g.r], r_bucket[g.r], r_route[g.r],
          r_model[g.r], r_charge[g.r], r_created[g.r], r_document[g.r]
      from generate_subscripts(r_op, 1) g(r)
      where verdict[r_op[g.r]] = 0
      on conflict do nothing;
  end if;
  if a_id is not null then
    -- The floor follows a debt upwards as it is paid off, so that the constraint on the row never allows a new one.
    update ledger.account a set posted = u.posted, held = u.held, seq = u.seq,
        floor = greatest(u.floor, least(0, u.posted - u.held))
      from unnest(a_id, a_posted, a_held, a_seq, a_floor) u(id, posted, held, seq, floor)
      where a.id = u.id and (a.posted, a.held, a.seq) is distinct from (u.posted, u.held, u.seq);
  end if;
  if u_id is not null then
    -- Only what this batch has changed is written: the receipt of a refused request names the window that refused it, but locks
    -- no account, so what was read of that window may be old by now.
    update ledger.budget_use x set used = u.used, held = u.held
      from unnest(u_id, u_used, u_held, u_was, u_kept) u(id, used, held, was, kept)
      where x.id = u.id and (u.used, u.held) is distinct from (u.was, u.kept);
    if u_used <> u_was then
      insert into ledger.budget_event (org_id, budget_id, window_start, threshold, amount, used)
        select x.org_id, x.budget_id, x.window_start, h.threshold, u.amount, u.used
        from unnest(u_id, u_amount, u_was, u_used) u(id, amount, was, used)
        join ledger.budget_use x on x.id = u.id
        cross join (values (50), (80), (100)) h(threshold)
        where u.used > u.was and u.used::numeric * 100 >= u.amount::numeric * h.threshold
        on conflict do nothing;
    end if;
  end if;
end $$;

create function ledger.beat(p_process uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into ledger.process (id) values (p_process)
  on conflict (id) do update set beat_at = clock_timestamp();
$$;

-- A process that ended in order takes its row with it; holds it left (none, if it drained) are recovered like any other.
create function ledger.leave(p_process uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from ledger.process where id = p_process;
$$;

revoke all on all functions in schema ledger from public;
grant select on all tables in schema ledger to forge_app;
grant execute on function ledger.apply, ledger.open_accounts(uuid, text, text), ledger.beat(uuid), ledger.leave(uuid) to forge_app;
