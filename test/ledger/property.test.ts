import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Database } from '../../src/db/index.ts'
import type { Uuid } from '../../src/kernel/index.ts'
import type { LedgerOp, OpResult } from '../../src/ledger/index.ts'
import { Oracle } from './oracle.ts'
import {
  type Account,
  account,
  batch,
  broken,
  budget,
  ids,
  ledgerDatabase,
  ROUNDS,
  receipt,
  SEED,
  writer,
} from './stand.ts'

/** Random histories against the oracle: any mix of ops, ids used twice, any cut into batches, any order across accounts. */

/** How often each kind is drawn; the ones that build on each other more often. */
const WEIGHTS = {
  reserve: 9,
  extend: 4,
  renew: 2,
  settle: 6,
  void: 5,
  expire: 5,
  grant: 1,
  topup: 1,
  adjust: 3,
  refund: 1,
  record: 1,
} as const satisfies Record<LedgerOp['kind'], number>
const IDS = 6

/** True once in n times; a plain number would be drawn near its ends far more often. */
const oneIn = (n: number) =>
  fc.oneof({ weight: 1, arbitrary: fc.constant(true) }, { weight: n - 1, arbitrary: fc.constant(false) })

// Unbiased: the usual preference for ends would draw few histories in which anything comes of anything.
const draft = fc.noBias(
  fc.record({
    kind: fc.oneof(
      ...(Object.keys(WEIGHTS) as LedgerOp['kind'][]).map((kind) => ({
        weight: WEIGHTS[kind],
        arbitrary: fc.constant(kind),
      })),
    ),
    org: fc.nat(1),
    // Mostly the bucket that goes with the id, so that ops meet.
    otherBucket: oneIn(8),
    // Now and then the account is another organization's.
    foreign: oneIn(20),
    id: fc.nat(IDS - 1),
    amount: fc.constantFrom(0n, 1n, 30n, 30n, 70n, 70n, 150n, 400n, 900n),
    minimum: fc.constantFrom(0n, 1n, 30n, 70n, 500n, 900n),
    negative: fc.boolean(),
    past: oneIn(3),
    progress: fc.option(fc.constantFrom('{"output":1}', '{"output":2}')),
    // Which of the account's budgets a reserve falls under, one bit each, and in which of their windows.
    under: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(7) }),
    window: fc.nat(1),
    // Now and then an earlier op of the history again, exactly.
    again: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat() }),
  }),
)
type Draft = typeof draft extends fc.Arbitrary<infer T> ? T : never

interface World {
  readonly accounts: readonly (readonly [Account, Account])[]
  readonly idPool: readonly (readonly Uuid[])[]
  readonly oracle: Oracle
  /** Three of each account: a hard one that is soon used up, a larger hard one, a soft one. */
  readonly budgets: ReadonlyMap<bigint, readonly Uuid[]>
}

const AMOUNTS = [150n, 500n, 100n] as const

/** A budget that changes before a batch: which, and its amount; null for its end. */
const change = fc.record({
  turn: fc.nat(8),
  org: fc.nat(1),
  bucket: fc.nat(1),
  budget: fc.nat(2),
  amount: fc.constantFrom(null, 0n, 60n, 150n, 300n, 900n),
})
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

async function makeChange(app: Database, world: World, each: Change): Promise<void> {
  const own = world.accounts[each.org]?.[each.bucket] as Account
  const id = world.budgets.get(own.accountId)?.[each.budget] ?? ''
  const budget = world.oracle.budgets.get(id)
  if (budget === undefined || budget.ended) return
  await app.query('select ledger.change_budget($1, $2, $3, null, $4, $5)', [
    own.orgId,
    id,
    each.amount,
    each.amount === null,
    'test',
  ])
  if (each.amount === null) budget.ended = true
  else budget.amount = each.amount
}

async function createWorld(app: Database): Promise<World> {
  const accounts: [Account, Account][] = []
  const oracle = new Oracle()
  for (let i = 0; i < 2; i++) {
    const credit = await account(app)
    const rmb = await account(app, credit.orgId, 'rmb')
    accounts.push([credit, rmb])
    for (const each of [credit, rmb]) oracle.open(each.orgId, each.accountId)
  }
  const budgets = new Map<bigint, readonly Uuid[]>()
  for (const own of accounts.flat()) {
    const made = await Promise.all(AMOUNTS.map((amount, i) => budget(app, own, amount, { hard: i < 2 })))
    for (const [i, amount] of AMOUNTS.entries())
      oracle.budgets.set(made[i] as Uuid, {
        amount,
        hard: i < 2,
        ended: false,
        windows: new Map(),
        events: new Set(),
      })
    budgets.set(own.accountId, made)
  }
  const idPool = accounts.map(() => Array.from({ length: IDS }, () => ids.uuid()))
  return { accounts, idPool, oracle, budgets }
}

function amountOf(d: Draft): bigint {
  const atLeastOne = d.amount === 0n ? 5n : d.amount
  if (d.kind === 'grant' || d.kind === 'topup' || d.kind === 'refund') return atLeastOne
  if (d.kind === 'extend') return d.amount * 3n
  if (d.kind === 'adjust') return d.negative ? -atLeastOne : atLeastOne
  return d.amount
}

function toOp(world: World, d: Draft): LedgerOp {
  const pair = world.accounts[d.org] as readonly [Account, Account]
  const bucket = d.otherBucket ? 1 - (d.id % 2) : d.id % 2
  const own = pair[bucket] as Account
  const other = world.accounts[1 - d.org]?.[bucket] as Account
  const id = world.idPool[d.org]?.[d.id] as Uuid
  const to = { orgId: own.orgId, id, accountId: d.foreign ? other.accountId : own.accountId }
  const amountNano = amountOf(d)
  const ttlMs = d.past ? -1 : 3_600_000
  const progress = d.progress === null ? {} : { progress: d.progress }
  switch (d.kind) {
    case 'record':
      return { kind: 'record', orgId: own.orgId, id: ids.uuid(), receipt: receipt(own, ids.uuid(), 0n) }
    case 'reserve':
      return {
        kind: 'reserve',
        ...to,
        amountNano,
        minimumNano: d.minimum,
        ttlMs,
        intent: '{}',
        budgets: (world.budgets.get(own.accountId) ?? [])
          .filter((_, i) => (d.under >> i) & 1)
          .map((budgetId) => ({ id: budgetId, startMs: d.window * 86_400_000 })),
      }
    case 'extend':
      return { kind: 'extend', ...to, amountNano, minimumNano: d.minimum, ttlMs, ...progress }
    case 'renew':
      return { kind: 'renew', ...to, ttlMs, ...progress }
    case 'settle':
      return { kind: 'settle', ...to, amountNano, receipt: receipt(own, id, 0n) }
    case 'void':
    case 'expire':
      return { kind: d.kind, ...to, reason: 'test' }
    default:
      return { kind: d.kind, ...to, amountNano, reason: 'test' }
  }
}

/** The maker of a settlement knows what is paid before it is; here the oracle knows it. */
function withCharge(op: LedgerOp, expected: OpResult): LedgerOp {
  if (op.kind !== 'settle' || op.receipt === undefined || expected.verdict !== 'done') return op
  return { ...op, receipt: { ...op.receipt, chargeNano: expected.figureNano } }
}

async function assertState(database: Database, world: World): Promise<void> {
  const accounts = await database.query<{
    id: bigint
    posted: bigint
    held: bigint
    seq: bigint
    floor: bigint
  }>('select id, posted, held, seq, floor from ledger.account where id = any($1::bigint[])', [
    [...world.oracle.accounts.keys()],
  ])
  assert.deepEqual(
    new Map(accounts.map(({ id, ...rest }) => [id, rest])),
    new Map(
      [...world.oracle.accounts].map(([id, { posted, held, seq }]) => {
        const available = posted - held
        // The floor is the debt, and nothing else.
        return [id, { posted, held, seq, floor: available < 0n ? available : 0n }]
      }),
    ),
  )
  const orgs = world.accounts.map(([credit]) => credit.orgId)
  const holds = await database.query<{ key: string; amount: bigint; past: boolean; progress: string | null }>(
    `select org_id || '/' || id as key, amount, expires_at <= clock_timestamp() as past, progress
      from ledger.hold where org_id = any($1::uuid[])`,
    [orgs],
  )
  assert.deepEqual(
    new Map(holds.map(({ key, ...rest }) => [key, rest])),
    new Map(
      [...world.oracle.holds].map(([key, { amount, past, progress }]) => [key, { amount, past, progress }]),
    ),
  )
  const used = await database.query<{ key: string; used: bigint; held: bigint }>(
    `select budget_id || '/' || (extract(epoch from window_start) * 1000)::bigint as key, used, held
      from ledger.budget_use where org_id = any($1::uuid[]) and (used, held) <> (0, 0)`,
    [orgs],
  )
  assert.deepEqual(
    new Map(used.map(({ key, ...rest }) => [key, rest])),
    new Map(
      [...world.oracle.budgets].flatMap(([id, { windows }]) =>
        [...windows]
          .filter(([, use]) => use.used !== 0n || use.held !== 0n)
          .map(([startMs, use]) => [`${id}/${startMs}`, use] as const),
      ),
    ),
  )
  const events = await database.query<{ key: string }>(
    `select concat_ws('/', budget_id, (extract(epoch from window_start) * 1000)::bigint, threshold, amount) as key
      from ledger.budget_event where org_id = any($1::uuid[])`,
    [orgs],
  )
  assert.deepEqual(
    events.map(({ key }) => key).sort(),
    [...world.oracle.budgets].flatMap(([id, own]) => [...own.events].map((event) => `${id}/${event}`)).sort(),
  )
  const ended = await database.query<{ key: string; kind: string; amount: bigint }>(
    `select org_id || '/' || id as key, kind, amount from ledger.transfer where org_id = any($1::uuid[])`,
    [orgs],
  )
  assert.deepEqual(
    new Map(ended.map(({ key, kind, amount }) => [key, { kind, amount }])),
    new Map([...world.oracle.ended].map(([key, { kind, moved }]) => [key, { kind, amount: moved }])),
  )
}

/** Which answers the histories drew, to know that they are worth something. */
const seen = new Set<string>()
const EXPECTED = [
  ...['done', 'repeated', 'insufficient', 'conflict', 'no_account', 'refused_before', 'over_budget'].map(
    (v) => `reserve ${v}`,
  ),
  ...['done', 'insufficient', 'over_budget', 'no_hold', 'no_account'].map((v) => `extend ${v}`),
  ...['done', 'no_hold'].map((v) => `renew ${v}`),
  ...['settle', 'void', 'expire'].flatMap((k) =>
    ['done', 'repeated', 'conflict', 'no_hold'].map((v) => `${k} ${v}`),
  ),
  'expire not_expired',
  ...['done', 'insufficient', 'conflict'].map((v) => `adjust ${v}`),
  ...['topup', 'grant', 'refund'].flatMap((k) => ['done', 'conflict'].map((v) => `${k} ${v}`)),
  'record done',
]

/** Runs the history in batches of the given sizes. @returns the results in the order of the drafts */
async function play(
  app: Database,
  database: Database,
  world: World,
  drafts: readonly Draft[],
  sizes: readonly number[],
  changes: readonly Change[] = [],
): Promise<OpResult[]> {
  const ledger = writer(app)
  const results: OpResult[] = []
  for (let from = 0, turn = 0; from < drafts.length; turn++) {
    const to = Math.min(drafts.length, from + (sizes[turn % sizes.length] ?? 1))
    for (const each of changes) if (each.turn === turn) await makeChange(app, world, each)
    const expected: OpResult[] = []
    const ops = drafts.slice(from, to).map((d) => {
      const op = toOp(world, d)
      const result = world.oracle.apply(op)
      expected.push(result)
      return withCharge(op, result)
    })
    world.oracle.endBatch()
    const answered = await batch(ledger, ops)
    for (const [i, { verdict }] of answered.entries()) seen.add(`${ops[i]?.kind} ${verdict}`)
    assert.deepEqual(
      answered.map((result, i) => [ops[i]?.kind, result]),
      expected.map((result, i) => [ops[i]?.kind, result]),
    )
    await assertState(database, world)
    assert.deepEqual(await broken(database), [])
    results.push(...answered)
    from = to
  }
  return results
}

/** Budgets by their place, so that the answers of two worlds can be compared. */
function placed(world: World, results: readonly (OpResult | undefined)[]) {
  const place = new Map([...world.budgets.values()].flatMap((made) => made.map((id, i) => [id, i] as const)))
  return results.map((result) =>
    result?.limit === undefined
      ? result
      : { ...result, limit: { ...result.limit, budgetId: place.get(result.limit.budgetId) } },
  )
}

const runs = 35 * ROUNDS
const parameters = { numRuns: runs, seed: SEED, endOnFailure: process.env['FORGE_TEST_SHRINK'] !== '1' }
// A fresh account has nothing; most histories begin with money.
const funding = [0, 1].flatMap((org) =>
  [0, 1].map(
    (bucket): Draft => ({
      kind: 'topup',
      org,
      otherBucket: false,
      foreign: false,
      id: 4 + bucket,
      amount: 900n,
      minimum: 0n,
      negative: false,
      past: false,
      progress: null,
      under: 0,
      window: 0,
      again: null,
    }),
  ),
)
const history = fc.noBias(
  fc.tuple(oneIn(5), fc.array(draft, { minLength: 20, maxLength: 50, size: 'max' })).map(([poor, drafts]) => {
    const ops = poor ? [] : [...funding]
    for (const each of drafts)
      ops.push(each.again === null ? each : (ops[each.again % Math.max(1, ops.length)] ?? each))
    return ops
  }),
)
const sizes = fc.array(fc.constantFrom(1, 2, 5, 12, 50), { minLength: 1, maxLength: 3 })

test(`any history of ops answers and ends as the rules say, however it is cut into batches (seed ${SEED}, ${runs} runs)`, async (t) => {
  const { app, database } = await ledgerDatabase(t)
  await fc.assert(
    fc.asyncProperty(history, sizes, fc.array(change, { maxLength: 6 }), async (drafts, cut, changes) => {
      await play(app, database, await createWorld(app), drafts, cut, changes)
    }),
    parameters,
  )
})

test(`the order of ops of different organizations does not matter, nor does the cut (seed ${SEED}, ${runs} runs)`, async (t) => {
  const { app, database } = await ledgerDatabase(t)
  await fc.assert(
    fc.asyncProperty(
      history,
      sizes,
      fc.array(fc.boolean(), { minLength: 60 }),
      async (drafts, cut, picks) => {
        // Ids and foreign accounts live per organization, so histories of two organizations are independent.
        const [first, second] = [await createWorld(app), await createWorld(app)]
        const one = await play(app, database, first, drafts, cut)
        const lanes = [0, 1].map((org) => drafts.flatMap((d, i) => (d.org === org ? [i] : [])))
        const order: number[] = []
        for (let i = 0; order.length < drafts.length; i++) {
          const lane = lanes[picks[i % picks.length] ? 1 : 0] as number[]
          const next = lane.shift() ?? (lanes[0]?.shift() as number | undefined) ?? lanes[1]?.shift()
          if (next !== undefined) order.push(next)
        }
        const other = await play(
          app,
          database,
          second,
          order.map((i) => drafts[i] as Draft),
          [drafts.length],
        )
        assert.deepEqual(
          placed(
            first,
            order.map((i) => one[i]),
          ),
          placed(second, other),
        )
      },
    ),
    { ...parameters, numRuns: Math.max(5, runs >> 1) },
  )
})

test('the histories drawn have come upon nearly every kind of answer', () => {
  const missing = EXPECTED.filter((answer) => !seen.has(answer))
  // Which are rare depends on the seed (three of thirty were seen missing); a broken generator misses whole kinds of ops.
  assert.ok(missing.length <= 5, missing.join())
  const kinds = new Set([...seen].map((answer) => answer.split(' ')[0]))
  assert.equal(kinds.size, new Set(EXPECTED.map((answer) => answer.split(' ')[0])).size, [...kinds].join())
})
