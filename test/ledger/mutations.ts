import type { Database } from '../../src/db/index.ts'

/**
 * Ledgers with one guard taken out. FORGE_TEST_MUTATION=name puts that one into every database of these tests;
 * mutations.test.ts proves that each is noticed.
 */

interface Mutation {
  readonly name: string
  /** The test file that must fail. */
  readonly noticedBy: string
  readonly replace: readonly (readonly [from: string, to: string])[]
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'accounts are locked in an order of each process’s own',
    noticedBy: 'concurrency.test.ts',
    replace: [
      [
        'order by a.id for no key update',
        'order by case when get_byte(uuid_send(p_process), 15) >= 128 then a.id else -a.id end for no key update',
      ],
    ],
  },
  {
    name: 'accounts are not locked',
    noticedBy: 'concurrency.test.ts',
    replace: [['order by a.id for no key update', 'order by a.id']],
  },
  {
    name: 'a reserve takes what is not available',
    noticedBy: 'property.test.ts',
    replace: [
      ['room >= least(p_minimum[i], amount) and room > 0 or amount = 0', 'true'],
      ['paid := least(amount, greatest(room, 0));', 'paid := amount;'],
    ],
  },
  {
    name: 'an ended id can be used again',
    noticedBy: 'property.test.ts',
    replace: [['t_kind[s] is not null', 'false']],
  },
  {
    name: 'an open hold’s id can be used again',
    noticedBy: 'property.test.ts',
    replace: [['if h_amount[s] is not null then', 'if false then']],
  },
  {
    name: 'a settlement takes more than was set aside',
    noticedBy: 'property.test.ts',
    replace: [['paid := least(amount, h_amount[s]);', 'paid := amount;']],
  },
  {
    name: 'a reserve heeds no budget',
    noticedBy: 'property.test.ts',
    replace: [['if u_hard[b] and u_amount[b] - u_used[b] - u_held[b] < room then', 'if false then']],
  },
  {
    name: 'a settlement leaves its hold in the budget',
    noticedBy: 'property.test.ts',
    replace: [['u_held[b] := u_held[b] - h_amount[s]; u_used', 'u_used']],
  },
  {
    name: 'a hold expires before its time',
    noticedBy: 'property.test.ts',
    replace: [['c = 6 and h_expires[s] > now_at', 'false']],
  },
  {
    name: 'an account of another organization can be used',
    noticedBy: 'property.test.ts',
    replace: [[' and a_org[k] = p_org[i])', ')']],
  },
  {
    name: 'a debt leaves its floor behind',
    noticedBy: '../../src/ledger/apply.test.ts',
    replace: [['floor = greatest(u.floor, least(0, u.posted - u.held))', 'floor = u.floor']],
  },
  {
    name: 'temporary objects of the caller are looked at first',
    noticedBy: 'append-only.test.ts',
    replace: [
      ['pg_catalog, pg_temp', 'pg_catalog'],
      ["'pg_catalog', 'pg_temp'", "'pg_catalog'"],
    ],
  },
]

/** Puts the mutation named by the environment into a database; does nothing without one. */
export async function mutate(database: Database): Promise<void> {
  const name = process.env['FORGE_TEST_MUTATION'] ?? ''
  if (name === '') return
  const mutation = MUTATIONS.find((candidate) => candidate.name === name)
  if (mutation === undefined) throw new Error(`no mutation is called ${name}`)
  const { definition } = await database.one<{ definition: string }>(
    `select pg_get_functiondef('ledger.apply'::regproc) as definition`,
  )
  let changed = definition
  for (const [from, to] of mutation.replace) changed = changed.replaceAll(from, to)
  if (changed === definition) throw new Error(`the mutation ${name} finds nothing to change`)
  await database.query(changed)
}
