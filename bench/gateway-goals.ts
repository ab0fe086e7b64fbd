import { figure, foreign, type Goal, median, table } from './report.ts'

/** What the gateway is loaded with, and what is made of the figures. */

export interface GatewayOptions {
  readonly quick: boolean
  readonly say: (text: string) => void
}

export type Mode =
  | 'json, saturated'
  | 'json, 1,000/s'
  | 'streams, burst'
  | 'streams, paced'
  | 'json, all cores shared'

export interface Load {
  readonly mode: Mode
  readonly body: 'json' | 'stream' | 'paced'
  readonly conns: number
  /** 0: as fast as answers come. */
  readonly rate: number
  /** Paced streams take a second: what is not warm by then would be counted as missing. */
  readonly warmFactor: number
  readonly subjects: readonly string[]
}

export const FORGE = 'tokens-forge'
const STREAMS_PER_SECOND = 50

export const LOADS: readonly Load[] = [
  {
    mode: 'json, saturated',
    body: 'json',
    conns: 64,
    rate: 0,
    warmFactor: 0.25,
    subjects: ['nginx', 'pass-through', FORGE, 'portkey'],
  },
  {
    mode: 'json, 1,000/s',
    body: 'json',
    conns: 512,
    rate: 1000,
    warmFactor: 0.25,
    subjects: ['direct', 'nginx', 'pass-through', FORGE],
  },
  {
    mode: 'streams, burst',
    body: 'stream',
    conns: 16,
    rate: 0,
    warmFactor: 0.25,
    subjects: ['nginx', 'pass-through', FORGE],
  },
  {
    mode: 'streams, paced',
    body: 'paced',
    conns: 512,
    rate: STREAMS_PER_SECOND,
    warmFactor: 0.5,
    subjects: ['nginx', 'pass-through', FORGE, 'portkey'],
  },
  { mode: 'json, all cores shared', body: 'json', conns: 64, rate: 0, warmFactor: 0.25, subjects: [FORGE] },
]

export interface Run {
  readonly mode: Mode
  readonly subject: string
  readonly round: number
  readonly perSecond: number
  /** Of the process under test. */
  readonly ownUs: number
  /** Of PostgreSQL; 0 for subjects that keep no ledger. */
  readonly databaseUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly firstByteMs: number
  readonly notAnswered: number
  readonly foreignCores: number
}

const totalUs = (run: Run): number => run.ownUs + run.databaseUs

/** The median over the rounds of what two subjects had in the same round. */
function ratio(
  runs: readonly Run[],
  mode: Mode,
  a: string,
  b: string,
  of: (run: Run) => number,
): number | null {
  const values = runs
    .filter((run) => run.mode === mode && run.subject === a)
    .flatMap((run) => {
      const other = runs.find((each) => each.mode === mode && each.subject === b && each.round === run.round)
      return other === undefined ? [] : [of(run) / of(other)]
    })
  return values.length === 0 ? null : median(values)
}

function difference(runs: readonly Run[], mode: Mode, of: (run: Run) => number): number | null {
  const values = (subject: string): number[] =>
    runs.filter((run) => run.mode === mode && run.subject === subject).map(of)
  return values(FORGE).length === 0 ? null : median(values(FORGE)) - median(values('direct'))
}

export function goalsOf(runs: readonly Run[]): Goal[] {
  const noise = (mode: Mode): number =>
    Math.max(0, ...runs.filter((run) => run.mode === mode).map((run) => run.foreignCores))
  const goal = (
    mode: Mode,
    name: string,
    value: number | null,
    limit: number,
    unit: Goal['unit'] = '×',
    sense: Goal['sense'] = 'at most',
  ): Goal => ({
    name: `gateway: ${name}`,
    value,
    unit,
    limit,
    sense,
    foreignCores: noise(mode),
  })
  const shared = runs.filter((run) => run.mode === 'json, all cores shared').map((run) => run.perSecond)
  const json = (): Goal[] => [
    goal(
      'json, saturated',
      'CPU a request with PostgreSQL, saturated, of bare nginx',
      ratio(runs, 'json, saturated', FORGE, 'nginx', totalUs),
      12,
    ),
    goal(
      'json, saturated',
      'the same, of our own pass-through',
      ratio(runs, 'json, saturated', FORGE, 'pass-through', totalUs),
      2.6,
    ),
    goal(
      'json, saturated',
      'the same, of Portkey',
      ratio(runs, 'json, saturated', FORGE, 'portkey', totalUs),
      0.2,
    ),
    goal(
      'json, all cores shared',
      'requests on all cores with everything on them',
      shared.length === 0 ? null : median(shared),
      5000,
      '/s',
      'at least',
    ),
    goal(
      'json, 1,000/s',
      'latency added at 1,000/s, p50',
      difference(runs, 'json, 1,000/s', (run) => run.p50Ms),
      2,
      'ms',
    ),
    goal(
      'json, 1,000/s',
      'latency added at 1,000/s, p99',
      difference(runs, 'json, 1,000/s', (run) => run.p99Ms),
      8,
      'ms',
    ),
  ]
  const streams = (): Goal[] => [
    goal(
      'streams, paced',
      `CPU a paced stream with PostgreSQL at ${STREAMS_PER_SECOND}/s, of our own pass-through`,
      ratio(runs, 'streams, paced', FORGE, 'pass-through', totalUs),
      1.4,
    ),
  ]
  return [...json(), ...streams()]
}

export function textOf(runs: readonly Run[]): string {
  const groups = LOADS.flatMap((load) =>
    load.subjects.map((subject) => runs.filter((run) => run.mode === load.mode && run.subject === subject)),
  ).filter((group) => group.length > 0)
  return table(
    [
      'load',
      'through',
      'requests/s',
      'own µs',
      'PG µs',
      'CPU µs',
      'p50 ms',
      'p99 ms',
      'first byte ms',
      'not answered',
      'foreign cores',
    ],
    groups.map((group) => {
      const middle = (of: (run: Run) => number): string => figure(median(group.map(of)))
      return [
        group[0]?.mode ?? '',
        group[0]?.subject ?? '',
        middle((run) => run.perSecond),
        middle((run) => run.ownUs),
        middle((run) => run.databaseUs),
        middle(totalUs),
        middle((run) => run.p50Ms),
        middle((run) => run.p99Ms),
        middle((run) => run.firstByteMs),
        String(group.reduce((sum, run) => sum + run.notAnswered, 0)),
        foreign(Math.max(...group.map((run) => run.foreignCores))),
      ]
    }),
  )
}
