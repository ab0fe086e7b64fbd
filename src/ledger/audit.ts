import type { Database } from '../db/index.ts'
import { errorText } from '../kernel/index.ts'

/**
 * The invariants of docs/ledger.md as queries that count what breaks them. They read committed state only and may run
 * beside traffic: each check is one statement, so it sees one moment.
 */

export interface AuditCheck {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

interface Invariant {
  readonly name: string
  /** What the rows are, for the detail of a failure. */
  readonly broken: string
  /** Selects one row per violation, its first column saying where. */
  readonly sql: string
}

export const INVARIANTS: readonly Invariant[] = [
  {
    name: 'trial balance: all entries of a currency sum to zero',
    broken: 'currencies off balance',
    sql: `select currency || ' is off by ' || sum(amount) from ledger.entry group by currency having sum(amount) <> 0`,
  },
  {
    name: 'every transfer sums to zero in one currency, with two entries or more',
    broken: 'unbalanced transfers',
    sql: `select transfer_id::text from ledger.entry group by org_id, transfer_id
      having sum(amount) <> 0 or count(distinct currency) > 1 or count(*) < 2`,
  },
  {
    name: 'balances are the sum of their entries',
    broken: 'accounts whose balance is not derivable',
    sql: `select a.id::text from ledger.account a
      left join (select account_id, sum(amount) as total, count(*) as n from ledger.entry where account_seq is not null group by account_id) e
        on e.account_id = a.id
      where a.kind = 'customer' and (a.posted <> coalesce(e.total, 0) or a.seq <> coalesce(e.n, 0))`,
  },
  {
    name: 'entries of an account form an unbroken walk',
    broken: 'entries that do not follow the one before',
    sql: `select account_id || '/' || account_seq from (
        select account_id, account_seq, amount, balance_after,
          lag(account_seq, 1, 0::bigint) over w as seq_before, lag(balance_after, 1, 0::bigint) over w as balance_before
        from ledger.entry where account_seq is not null window w as (partition by account_id order by account_seq)) x
      where account_seq <> seq_before + 1 or balance_after <> balance_before + amount`,
  },
  {
    name: 'held amounts are the sum of the open holds',
    broken: 'accounts whose held amount is off',
    sql: `select a.id::text from ledger.account a
      left join (select account_id, sum(amount) as total from ledger.hold group by account_id) h on h.account_id = a.id
      where a.kind = 'customer' and a.held <> coalesce(h.total, 0)`,
  },
  {
    name: 'no balance is below zero but by a refund',
    broken: 'accounts below zero without a refund',
    sql: `select a.id::text from ledger.account a
      where a.kind = 'customer' and a.posted - a.held < 0
        and not exists (select from ledger.transfer t where t.org_id = a.org_id and t.account_id = a.id and t.kind = 'refund')`,
  },
  {
    name: 'a hold ends once: no hold is open and ended',
    broken: 'holds that are both',
    sql: `select h.id::text from ledger.hold h join ledger.transfer t on t.org_id = h.org_id and t.id = h.id`,
  },
  {
    name: 'what a transfer says is what its entries moved',
    broken: 'transfers that differ from their entries',
    sql: `select t.id::text from ledger.transfer t
      left join ledger.entry e on e.org_id = t.org_id and e.transfer_id = t.id
      group by t.org_id, t.id
      having t.amount <> coalesce(sum(e.amount) filter (where e.account_id = t.account_id), 0)
        or t.kind in ('grant', 'topup', 'adjust') and t.asked <> t.amount
        or t.kind = 'refund' and t.asked <> -t.amount
        or t.kind = 'charge' and t.asked <> -t.amount - coalesce(sum(e.amount) filter (where e.account_id = t.account_id + 4), 0)`,
  },
  {
    name: 'entries stay inside one organization and bucket, on the accounts of their kind',
    broken: 'entries on an account of another set, currency or kind',
    sql: `select e.transfer_id::text from ledger.entry e
      left join ledger.account a on a.id = e.account_id
      left join ledger.transfer t on t.org_id = e.org_id and t.id = e.transfer_id
      where a.id is null or t.id is null or a.org_id <> e.org_id or a.currency <> e.currency or a.id / 8 <> t.account_id / 8
        or a.kind <> 'customer' and a.kind <> all (case t.kind when 'charge' then array['revenue', 'writeoff']
          when 'grant' then array['issuance'] when 'adjust' then array['adjustment'] else array['cash'] end)`,
  },
  {
    name: 'every charge has one receipt over the same amount, from the bucket of its account',
    broken: 'charges without their receipt',
    sql: `select t.id::text from ledger.transfer t
      join ledger.account a on a.org_id = t.org_id and a.id = t.account_id
      left join ledger.receipt r on r.org_id = t.org_id and r.id = (left(t.id::text, 35) || '0')::uuid
      where t.kind = 'charge' and t.amount <> 0 and (r.id is null or r.charge <> -t.amount or r.bucket <> a.bucket)`,
  },
  {
    name: 'every receipt with a charge has its transfer',
    broken: 'receipts over money that did not move',
    // Nearly all charges bear the id of their request; only the others need its id to be computed.
    sql: `select r.id::text from ledger.receipt r
      left join ledger.transfer t on t.org_id = r.org_id and t.id = r.id and t.kind = 'charge'
      left join (select org_id, (left(id::text, 35) || '0')::uuid as request_id, sum(amount) as amount
          from ledger.transfer where kind = 'charge' and get_byte(uuid_send(id), 15) % 16 <> 0 group by 1, 2) u
        on u.org_id = r.org_id and u.request_id = r.id
      where r.charge <> 0 and r.charge <> -coalesce(t.amount, 0) - coalesce(u.amount, 0)`,
  },
  {
    name: 'what budgets have used and held is the sum of the charges and open holds of their windows',
    broken: 'budget windows that are off, or money counted in a budget of another account',
    sql: `with counted(id, account_id, used, held) as (
        select w.id, t.account_id, -t.amount, 0 from ledger.transfer t, unnest(t.budgets) w(id) where t.kind = 'charge'
        union all
        select w.id, h.account_id, 0, h.amount from ledger.hold h, unnest(h.budgets) w(id))
      select coalesce(x.id, c.id)::text from ledger.budget_use x
      join ledger.budget g on g.org_id = x.org_id and g.id = x.budget_id
      full join (select id, min(account_id) as least, max(account_id) as most, sum(used) as used, sum(held) as held
          from counted group by id) c on c.id = x.id
      where x.used is distinct from coalesce(c.used, 0) or x.held is distinct from coalesce(c.held, 0)
        or c.least <> g.account_id or c.most <> g.account_id`,
  },
  {
    name: 'no hard budget was ever passed',
    broken: 'budget windows above the most their budget was',
    sql: `select x.id::text from ledger.budget_use x
      where x.used + x.held > (select max(case when c.hard and not c.ended then c.amount else 9223372036854775807 end)
        from ledger.budget_change c where c.org_id = x.org_id and c.budget_id = x.budget_id)`,
  },
  {
    name: 'a budget is what its last change says',
    broken: 'budgets that were changed beside the record',
    sql: `select g.id::text from ledger.budget g
      left join lateral (select * from ledger.budget_change c where c.org_id = g.org_id and c.budget_id = g.id
        order by c.n desc limit 1) c on true
      where (g.amount, g.hard, g.ended_at is not null) is distinct from (c.amount, c.hard, c.ended)`,
  },
  {
    name: 'money of grants, top-ups and corrections is remembered by origin',
    broken: 'funding without its lot',
    sql: `select t.id::text from ledger.transfer t left join ledger.lot l on l.org_id = t.org_id and l.transfer_id = t.id
      where t.kind in ('grant', 'topup', 'adjust') and t.amount > 0 and (l.amount is null or l.amount <> t.amount)`,
  },
  {
    name: 'no hold is open long after its time',
    broken: 'holds that nobody ended',
    sql: `select id::text from ledger.hold where expires_at < clock_timestamp() - interval '5 minutes'`,
  },
  {
    name: 'the record cannot be changed: triggers stand',
    broken: 'tables without an enabled append-only trigger',
    sql: `select x.name from unnest(array['transfer', 'entry', 'receipt', 'lot', 'account_kind', 'budget_change', 'budget_event']) x(name)
      where not exists (select from pg_trigger g where g.tgrelid = ('ledger.' || x.name)::regclass
        and g.tgname = 'append_only' and g.tgenabled in ('O', 'A') and g.tgfoid = to_regproc('ledger.refuse_change'))
      union all
      select 'entries_balance' where not exists (select from pg_trigger g where g.tgrelid = 'ledger.entry'::regclass
        and g.tgname = 'entries_balance' and g.tgenabled in ('O', 'A') and g.tgfoid = to_regproc('ledger.entries_balance'))`,
  },
  {
    name: 'the record cannot be changed: the gateway role may not write it',
    broken: 'tables the gateway role may write',
    sql: `select x.name from unnest(array['account_kind', 'account', 'hold', 'transfer', 'entry', 'receipt', 'lot', 'process',
          'budget', 'budget_change', 'budget_use', 'budget_event']) x(name)
      where has_table_privilege('forge_app', 'ledger.' || x.name, 'insert, update, delete, truncate, trigger')
        or has_any_column_privilege('forge_app', 'ledger.' || x.name, 'insert, update')`,
  },
]

async function check(database: Database, invariant: Invariant): Promise<AuditCheck> {
  try {
    const rows = await database.query<{ place: string }>(
      `select count(*) over ()::text as total, place from (${invariant.sql}) broken(place) limit 5`,
    )
    if (rows.length === 0) return { name: invariant.name, ok: true, detail: 'holds' }
    const total = (rows[0] as { total?: string }).total ?? String(rows.length)
    return {
      name: invariant.name,
      ok: false,
      detail: `${total} ${invariant.broken}: ${rows.map((row) => row.place).join(', ')}`,
    }
  } catch (thrown) {
    return { name: invariant.name, ok: false, detail: `could not be checked: ${errorText(thrown)}` }
  }
}

export async function auditLedger(database: Database): Promise<readonly AuditCheck[]> {
  const checks: AuditCheck[] = []
  for (const invariant of INVARIANTS) checks.push(await check(database, invariant))
  return checks
}
