import { FORGE } from './gateway-goals.ts'
import type { Measured } from './ledger.ts'
import { type Forge, type Subject, startForge, startPassThrough } from './peers.ts'
import { figure, foreign, type Goal, median, table } from './report.ts'
import { compile, type Stand, startDatabase } from './stand.ts'
import {
  modelOf,
  requestFile,
  STREAM_FORMATS,
  STREAM_MODELS,
  type StreamFormat,
  upstreamArgs,
} from './stream-formats.ts'

/**
 * Streams of 200 events through the gateway, from every format into every other, against our pass-through of the same
 * upstream bytes in the same round: in bursts, and paced (one event every 5 ms).
 */

const SAME_LIMIT = 1.4
const TRANSLATED_LIMIT = 2.5
const PACED_PER_SECOND = 50
const PACES = ['burst', 'paced'] as const
type Pace = (typeof PACES)[number]

interface Pair {
  readonly caller: StreamFormat
  readonly upstream: StreamFormat
}

interface StreamRun {
  readonly pace: Pace
  readonly subject: string
  readonly caller: string
  readonly upstream: string
  readonly round: number
  readonly perSecond: number
  readonly ownUs: number
  readonly databaseUs: number
  readonly firstByteMs: number
  readonly notAnswered: number
  readonly foreignCores: number
}

interface StreamBench {
  readonly stand: Stand
  readonly load: string
  readonly upstreamPid: number
  readonly databasePid: number
  readonly forge: Forge
  readonly bare: Subject
}

interface Report {
  readonly done: number
  readonly perSecond: number
  readonly failed: number
  readonly refused: number
  readonly firstByteP50Us: number
  readonly foreignCores: number
  readonly trees: Readonly<Record<string, { readonly userSeconds: number; readonly kernelSeconds: number }>>
}

const PAIRS: readonly Pair[] = STREAM_FORMATS.flatMap((caller) =>
  STREAM_FORMATS.map((upstream) => ({ caller, upstream })),
)
const isSame = ({ caller, upstream }: Pair): boolean => caller === upstream
/** One translation from and into each format. */
const QUICK = new Set(['chat-messages', 'messages-chat', 'responses-gemini', 'gemini-responses'])

export async function setUpStreams(stand: Stand, execArgv: readonly string[] = []): Promise<StreamBench> {
  const args = ['--gap-us', '5000', ...upstreamArgs(stand.dir)]
  const upstream = await stand.run(compile(stand, 'upstream'), args, { core: 0 })
  const port = Number(upstream.ready['port'])
  const database = await startDatabase(stand, 'streams')
  return {
    stand,
    load: compile(stand, 'load'),
    upstreamPid: upstream.pid,
    databasePid: database.pid,
    forge: await startForge(stand, database, port, execArgv, STREAM_MODELS),
    bare: await startPassThrough(stand, port),
  }
}

/** @returns the load generator's own words */
export async function loadPair(
  bench: StreamBench,
  subject: Subject,
  { caller, upstream }: Pair,
  { pace, seconds }: { readonly pace: Pace; readonly seconds: number },
): Promise<string> {
  const model = modelOf(upstream, pace === 'paced')
  const values: Readonly<Record<string, string | number>> = {
    port: subject.port,
    path: caller.path(model),
    body: requestFile(bench.stand.dir, caller, model),
    conns: pace === 'paced' ? 256 : 16,
    rate: pace === 'paced' ? PACED_PER_SECOND : 0,
    // A paced stream takes a second: what is not warm by then would be counted as missing.
    warm: pace === 'paced' ? 1.3 : 0.4,
    secs: seconds,
  }
  const trees = { upstream: bench.upstreamPid, database: bench.databasePid, own: subject.pid ?? 0 }
  const args = [
    ...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...Object.entries(trees).flatMap(([name, pid]) => ['--tree', `${name}=${pid}`]),
    ...subject.headers.flatMap((header) => ['--header', header]),
  ]
  return await bench.stand.call(bench.load, args, 0)
}

async function measure(
  bench: StreamBench,
  subject: Subject,
  pair: Pair,
  pace: Pace,
  round: number,
  seconds: number,
): Promise<StreamRun> {
  const report = JSON.parse(await loadPair(bench, subject, pair, { pace, seconds })) as Report
  const us = (name: string): number => {
    const tree = report.trees[name]
    return tree === undefined ? 0 : ((tree.userSeconds + tree.kernelSeconds) * 1e6) / report.done
  }
  return {
    pace,
    subject: subject.name,
    caller: pair.caller.name,
    upstream: pair.upstream.name,
    round,
    perSecond: report.perSecond,
    ownUs: us('own'),
    databaseUs: subject.name === FORGE ? us('database') : 0,
    firstByteMs: report.firstByteP50Us / 1000,
    notAnswered: report.failed + report.refused,
    foreignCores: Math.max(0, report.foreignCores),
  }
}

interface Compared {
  readonly pair: Pair
  readonly pace: Pace
  readonly runs: readonly StreamRun[]
  readonly bare: readonly StreamRun[]
  readonly own: number
  readonly withDatabase: number
}

function compare(runs: readonly StreamRun[], pair: Pair, pace: Pace): Compared | null {
  const of = (subject: string, caller: string): StreamRun[] =>
    runs.filter(
      (run) =>
        run.pace === pace &&
        run.subject === subject &&
        run.caller === caller &&
        run.upstream === pair.upstream.name,
    )
  const ours = of(FORGE, pair.caller.name)
  const bare = of('pass-through', pair.upstream.name)
  const ratios = (cost: (run: StreamRun) => number): number[] =>
    ours.flatMap((run) => {
      const other = bare.find(({ round }) => round === run.round)
      return other === undefined ? [] : [cost(run) / other.ownUs]
    })
  if (ours.length === 0) return null
  return {
    pair,
    pace,
    runs: ours,
    bare,
    own: median(ratios((run) => run.ownUs)),
    withDatabase: median(ratios((run) => run.ownUs + run.databaseUs)),
  }
}

const nameOf = ({ caller, upstream }: Pair): string => `${upstream.name} → ${caller.name}`

function textOf(all: readonly Compared[]): string {
  return table(
    [
      'upstream → caller',
      'pace',
      'bare µs',
      'own µs',
      'PG µs',
      'own ×',
      'with PG ×',
      'streams/s',
      'first byte ms',
      'not answered',
      'foreign cores',
    ],
    all.map(({ pair, pace, runs, bare, own, withDatabase }) => [
      nameOf(pair),
      pace,
      figure(median(bare.map((run) => run.ownUs))),
      figure(median(runs.map((run) => run.ownUs))),
      figure(median(runs.map((run) => run.databaseUs))),
      figure(own),
      figure(withDatabase),
      figure(median(runs.map((run) => run.perSecond))),
      figure(median(runs.map((run) => run.firstByteMs))),
      String(runs.reduce((sum, run) => sum + run.notAnswered, 0)),
      foreign(Math.max(...runs.map((run) => run.foreignCores))),
    ]),
  )
}

function goalsOf(all: readonly Compared[]): Goal[] {
  return all.map(({ pair, pace, runs, withDatabase }) => ({
    name: `streams: ${nameOf(pair)}, ${pace}, CPU with PostgreSQL of our pass-through`,
    value: withDatabase,
    unit: '×',
    limit: isSame(pair) ? SAME_LIMIT : TRANSLATED_LIMIT,
    sense: 'at most',
    foreignCores: Math.max(...runs.map((run) => run.foreignCores)),
  }))
}

export interface StreamOptions {
  readonly quick: boolean
  readonly say: (text: string) => void
}

export async function measureStreams(stand: Stand, { quick, say }: StreamOptions): Promise<Measured> {
  const bench = await setUpStreams(stand)
  const pairs = PAIRS.filter(
    (pair) => isSame(pair) || !quick || QUICK.has(`${pair.caller.name}-${pair.upstream.name}`),
  )
  // What has not run hot is measured as its compiler.
  for (const pair of pairs) {
    await loadPair(bench, bench.forge, pair, { pace: 'burst', seconds: quick ? 0.8 : 1.5 })
    if (isSame(pair)) await loadPair(bench, bench.bare, pair, { pace: 'burst', seconds: quick ? 0.8 : 1.5 })
  }
  const runs: StreamRun[] = []
  const rounds = quick ? 1 : 2
  for (let round = 0; round < rounds; round++) {
    for (const pace of PACES) {
      const seconds = pace === 'paced' ? 2.5 : 1.2
      for (const upstream of STREAM_FORMATS) {
        runs.push(await measure(bench, bench.bare, { caller: upstream, upstream }, pace, round, seconds))
        for (const pair of pairs.filter((each) => each.upstream === upstream))
          runs.push(await measure(bench, bench.forge, pair, pace, round, seconds))
      }
    }
    say(`round ${round + 1} of ${rounds} is done`)
  }
  const all = PACES.flatMap((pace) => pairs.map((pair) => compare(runs, pair, pace))).filter(
    (each) => each !== null,
  )
  return { runs, goals: goalsOf(all), notes: [await bench.forge.audit()], text: textOf(all) }
}
