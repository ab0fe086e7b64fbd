import { openDatabase } from '../src/db/index.ts'
import { silentLog } from '../src/kernel/index.ts'
import { auditLedger, readBalances } from '../src/ledger/index.ts'
import { type CpuReading, startCpuMeter } from './cpu.ts'
import {
  type Account,
  CHARGED_NANO,
  callPerOperation,
  ids,
  openFunded,
  ourWriter,
  RESERVED_NANO,
  transactionPerOperation,
  WAYS,
  type Way,
} from './ledger-ways.ts'
import { figure, foreign, type Goal, median, percentile, table } from './report.ts'
import { type Stand, startDatabase } from './stand.ts'

/** The ledger alone: reserve+settle pairs, 256 in flight, fsync on, receipts on, three ways interleaved. */

const IN_FLIGHT = 256
const ACCOUNTS = 1000
const FUNDS_NANO = 1_000_000_000_000_000_000n / 2n
const ROUNDS = 2
const POOR_PAIRS = 500n

interface Run {
  readonly way: string
  readonly accounts: number
  readonly pairsPerSecond: number
  readonly nodeUsPerOp: number
  readonly databaseUsPerOp: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly foreignCores: number
}

interface Loop {
  pairs: number
  refused: number
  readonly latenciesMs: number[]
}

/** One of many that never rest: reserve, settle, and again. */
async function worker(
  way: Way,
  accounts: readonly Account[],
  loop: Loop,
  goesOn: () => boolean,
): Promise<void> {
  while (goesOn()) {
    const account = accounts[Math.floor(Math.random() * accounts.length)]
    if (account === undefined) throw new Error('no account')
    const id = ids.uuid()
    const begun = performance.now()
    if (!(await way.reserve(account, id))) {
      loop.refused++
      continue
    }
    const reserved = performance.now()
    await way.settle(account, id)
    loop.latenciesMs.push(reserved - begun, performance.now() - reserved)
    loop.pairs++
  }
}

async function measure(
  way: Way,
  accounts: readonly Account[],
  databasePid: number,
  seconds: number,
): Promise<Run> {
  const loop: Loop = { pairs: 0, refused: 0, latenciesMs: [] }
  let over = false
  const workers = Array.from({ length: IN_FLIGHT }, () => worker(way, accounts, loop, () => !over))
  await new Promise((resolve) => setTimeout(resolve, seconds * 250))
  const before = loop.pairs
  loop.latenciesMs.length = 0
  const read = startCpuMeter({ database: databasePid })
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const cpu: CpuReading = read()
  const pairs = loop.pairs - before
  const latencies = loop.latenciesMs.slice()
  over = true
  await Promise.all(workers)
  if (loop.refused > 0) throw new Error('a funded account was refused')
  const perOp = (total = 0): number => (total * 1e6) / (pairs * 2)
  return {
    way: way.name,
    accounts: accounts.length,
    pairsPerSecond: pairs / cpu.wallSeconds,
    nodeUsPerOp: perOp(cpu.seconds['self']),
    databaseUsPerOp: perOp(cpu.seconds['database']),
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    foreignCores: cpu.foreignCores,
  }
}

/** Four times as many wants as money, all at once: what was sold must be what there was. */
async function temptOverdraft(url: string, way: Way): Promise<string> {
  const [poor] = await openFunded(url, 1, RESERVED_NANO * POOR_PAIRS)
  if (poor === undefined) throw new Error('no account')
  const loop: Loop = { pairs: 0, refused: 0, latenciesMs: [] }
  let left = Number(POOR_PAIRS) * 4
  await Promise.all(Array.from({ length: IN_FLIGHT }, () => worker(way, [poor], loop, () => left-- > 0)))
  const database = openDatabase({ connection: url, log: silentLog, max: 1 })
  const balance = (await readBalances(database, poor.orgId))[0]
  await database.close()
  const expected = RESERVED_NANO * POOR_PAIRS - CHARGED_NANO * BigInt(loop.pairs)
  if (
    balance === undefined ||
    balance.heldNano !== 0n ||
    balance.postedNano !== expected ||
    balance.postedNano < 0n
  )
    throw new Error(
      `overdraft or loss: ${balance?.postedNano} posted, ${balance?.heldNano} held, ${expected} expected`,
    )
  if (loop.refused === 0) throw new Error('the poor account was never refused: nothing was shown')
  return `${loop.pairs} pairs paid, ${loop.refused} refused, ${balance.postedNano} nano left: no overdraft`
}

async function audit(url: string): Promise<string> {
  const database = openDatabase({
    connection: url,
    log: silentLog,
    max: 1,
    statementTimeoutMs: 600_000,
    queryTimeoutMs: 610_000,
  })
  const checks = await auditLedger(database)
  await database.close()
  const broken = checks.filter((check) => !check.ok)
  if (broken.length > 0)
    throw new Error(
      `invariants broken: ${broken.map((check) => `${check.name}: ${check.detail}`).join('; ')}`,
    )
  return `${checks.length} invariants hold`
}

export interface Measured {
  readonly runs: readonly object[]
  readonly goals: readonly Goal[]
  readonly notes: readonly string[]
  readonly text: string
}

export async function measureLedger(stand: Stand, quick: boolean): Promise<Measured> {
  const database = await startDatabase(stand, 'ledger')
  const spread = await openFunded(database.url, ACCOUNTS, FUNDS_NANO)
  const hot = spread.slice(0, 1)
  const ours = ourWriter(database.url)
  const ways = [
    ours,
    callPerOperation(database.url),
    await transactionPerOperation(database.url, spread, FUNDS_NANO),
  ]
  const runs: Run[] = []
  for (let round = 0; round < ROUNDS; round++)
    for (const accounts of [hot, spread])
      for (const way of ways) runs.push(await measure(way, accounts, database.pid, quick ? 1.2 : 6))
  const notes = [await temptOverdraft(database.url, ours)]
  for (const way of ways) await way.close()
  notes.push(await audit(database.url))
  return { runs, goals: goalsOf(runs), notes, text: textOf(runs) }
}

function goalsOf(runs: readonly Run[]): Goal[] {
  const of = (way: string, accounts: number): readonly Run[] =>
    runs.filter((run) => run.way === way && run.accounts === accounts)
  const rate = (way: string, accounts: number): number =>
    median(of(way, accounts).map((run) => run.pairsPerSecond))
  const noise = Math.max(...runs.map((run) => run.foreignCores))
  const goal = (name: string, value: number, limit: number, unit: Goal['unit'] = '×'): Goal => ({
    name,
    value,
    unit,
    limit,
    sense: 'at least',
    foreignCores: noise,
  })
  return [
    goal(
      'ledger: pairs, one call per operation on 16 connections, one hot balance',
      rate(WAYS.writer, 1) / rate(WAYS.call, 1),
      8,
    ),
    goal('ledger: the same, 1,000 balances', rate(WAYS.writer, ACCOUNTS) / rate(WAYS.call, ACCOUNTS), 8),
    goal(
      'ledger: pairs, a transaction per operation, one hot balance',
      rate(WAYS.writer, 1) / rate(WAYS.plain, 1),
      20,
    ),
    goal('ledger: reserve+settle pairs, 256 in flight, one hot balance', rate(WAYS.writer, 1), 10_000, '/s'),
    goal('ledger: the same, 1,000 balances', rate(WAYS.writer, ACCOUNTS), 10_000, '/s'),
  ]
}

function textOf(runs: readonly Run[]): string {
  return table(
    ['way', 'balances', 'pairs/s', 'Node µs/op', 'PG µs/op', 'p50 ms', 'p99 ms', 'foreign cores'],
    runs.map((run) => [
      run.way,
      String(run.accounts),
      figure(run.pairsPerSecond),
      figure(run.nodeUsPerOp),
      figure(run.databaseUsPerOp),
      figure(run.p50Ms),
      figure(run.p99Ms),
      foreign(run.foreignCores),
    ]),
  )
}
