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
  balance,
  batch,
  broken,
  ids,
  ledgerDatabase,
  ROUNDS,
  receipt,
  SEED,
  writer,
} from './stand.ts'

/** Random histories against the oracle: any mix of ops, ids used twice, any cut into batches, any order across accounts. */

const KINDS = [
  'reserve',
  'extend',
  'renew',
  'settle',
  'void',
  'expire',
  'grant',
  'topup',
  'adjust',
  'refund',
  'record',
] as const
const IDS = 5

const draft = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('reserve' as const, 'settle' as const) },
    { weight: 4, arbitrary: fc.constantFrom(...KINDS) },
  ),
  org: fc.nat(1),
  bucket: fc.nat(1),
  // Now and then the account is another organization's.
  foreign: fc.nat(19).map((n) => n === 0),
  id: fc.nat(IDS - 1),
  amount: fc.constantFrom(0n, 1n, 30n, 30n, 70n, 70n, 150n, 400n),
  minimum: fc.constantFrom(0n, 1n, 30n, 70n, 500n),
  negative: fc.boolean(),
  past: fc.boolean(),
  progress: fc.option(fc.constantFrom('{"output":1}', '{"output":2}')),
})
type Draft = typeof draft extends fc.Arbitrary<infer T> ? T : never

interface World {
  readonly accounts: readonly (readonly [Account, Account])[]
  readonly idPool: readonly (readonly Uuid[])[]
  readonly oracle: Oracle
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
  const idPool = accounts.map(() => Array.from({ length: IDS }, () => ids.uuid()))
  return { accounts, idPool, oracle }
}

function amountOf(d: Draft): bigint {
  const atLeastOne = d.amount === 0n ? 5n : d.amount
  if (d.kind === 'grant' || d.kind === 'topup' || d.kind === 'refund') return atLeastOne
  if (d.kind === 'adjust') return d.negative ? -atLeastOne : atLeastOne
  return d.amount
}

function toOp(world: World, d: Draft): LedgerOp {
  const pair = world.accounts[d.org] as readonly [Account, Account]
  const own = pair[d.bucket] as Account
  const other = world.accounts[1 - d.org]?.[d.bucket] as Account
  const id = world.idPool[d.org]?.[d.id] as Uuid
  const to = { orgId: own.orgId, id, accountId: d.foreign ? other.accountId : own.accountId }
  const amountNano = amountOf(d)
  const ttlMs = d.past ? -1 : 3_600_000
  const progress = d.progress === null ? {} : { progress: d.progress }
  switch (d.kind) {
    case 'record':
      return { kind: 'record', orgId: own.orgId, id: ids.uuid(), receipt: receipt(own, ids.uuid(), 0n) }
    case 'reserve':
      return { kind: 'reserve', ...to, amountNano, minimumNano: d.minimum, ttlMs, intent: '{}' }
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
  for (const pair of world.accounts) {
    for (const each of pair) {
      const expected = world.oracle.accounts.get(each.accountId)
      const { posted, held, seq } = await balance(database, each)
      assert.deepEqual(
        { posted, held, seq },
        { posted: expected?.posted, held: expected?.held, seq: expected?.seq },
      )
      const { floor } = await database.one<{ floor: bigint }>(
        'select floor from ledger.account where id = $1',
        [each.accountId],
      )
      assert.equal(floor, posted - held < 0n ? posted - held : 0n, 'the floor is the debt, and nothing else')
    }
  }
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
  const ended = await database.query<{ key: string; kind: string; amount: bigint }>(
    `select org_id || '/' || id as key, kind, amount from ledger.transfer where org_id = any($1::uuid[])`,
    [orgs],
  )
  assert.deepEqual(
    new Map(ended.map(({ key, kind, amount }) => [key, { kind, amount }])),
    new Map([...world.oracle.ended].map(([key, { kind, moved }]) => [key, { kind, amount: moved }])),
  )
}

/** Runs the history in batches of the given sizes. @returns the results in the order of the drafts */
async function play(
  app: Database,
  database: Database,
  world: World,
  drafts: readonly Draft[],
  sizes: readonly number[],
): Promise<OpResult[]> {
  const ledger = writer(app)
  const results: OpResult[] = []
  for (let from = 0, turn = 0; from < drafts.length; turn++) {
    const to = Math.min(drafts.length, from + (sizes[turn % sizes.length] ?? 1))
    const expected: OpResult[] = []
    const ops = drafts.slice(from, to).map((d) => {
      const op = toOp(world, d)
      const result = world.oracle.apply(op)
      expected.push(result)
      return withCharge(op, result)
    })
    const answered = await batch(ledger, ops)
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

const runs = 60 * ROUNDS
const parameters = { numRuns: runs, seed: SEED, endOnFailure: process.env['FORGE_TEST_SHRINK'] !== '1' }
// A fresh account has nothing; most histories begin with money.
const funding = [0, 1].flatMap((org) =>
  [0, 1].map(
    (bucket): Draft => ({
      kind: 'topup',
      org,
      bucket,
      foreign: false,
      id: bucket,
      amount: 400n,
      minimum: 0n,
      negative: false,
      past: false,
      progress: null,
    }),
  ),
)
const history = fc
  .tuple(fc.nat(3), fc.array(draft, { minLength: 5, maxLength: 45, size: 'max' }))
  .map(([rich, drafts]) => [...(rich === 0 ? [] : funding), ...drafts])
const sizes = fc.array(fc.constantFrom(1, 2, 5, 12, 50), { minLength: 1, maxLength: 3 })

test(`any history of ops answers and ends as the rules say, however it is cut into batches (seed ${SEED}, ${runs} runs)`, async (t) => {
  const { app, database } = await ledgerDatabase(t)
  await fc.assert(
    fc.asyncProperty(history, sizes, async (drafts, cut) => {
      await play(app, database, await createWorld(app), drafts, cut)
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
        const one = await play(app, database, await createWorld(app), drafts, cut)
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
          await createWorld(app),
          order.map((i) => drafts[i] as Draft),
          [drafts.length],
        )
        assert.deepEqual(
          order.map((i) => one[i]),
          other,
        )
      },
    ),
    { ...parameters, numRuns: Math.max(5, runs >> 1) },
  )
})
