import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Measured } from './ledger.ts'
import { type Forge, type Subject, startForge, startNginx, startPassThrough, startPortkey } from './peers.ts'
import { figure, foreign, type Goal, median, table } from './report.ts'
import { type BenchDatabase, type Core, compile, type Stand, startDatabase } from './stand.ts'

/**
 * The gateway beside others that do less, in turns, one core for the process under test and one for load and upstream;
 * PostgreSQL runs wherever it likes, and its time is counted with ours.
 */

export interface GatewayOptions {
  readonly quick: boolean
  readonly json: boolean
  readonly streams: boolean
  readonly say: (text: string) => void
}

type Mode =
  | 'json, saturated'
  | 'json, 1,000/s'
  | 'streams, burst'
  | 'streams, paced'
  | 'json, all cores shared'

interface Load {
  readonly mode: Mode
  readonly body: 'json' | 'stream' | 'paced'
  readonly conns: number
  /** 0: as fast as answers come. */
  readonly rate: number
  /** Paced streams take a second: what is not warm by then would be counted as missing. */
  readonly warmFactor: number
  readonly subjects: readonly string[]
}

const FORGE = 'tokens-forge'
const STREAMS_PER_SECOND = 50

const LOADS: readonly Load[] = [
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

interface TreeSeconds {
  readonly userSeconds: number
  readonly kernelSeconds: number
}

interface LoadReport {
  readonly done: number
  readonly perSecond: number
  readonly failed: number
  readonly refused: number
  readonly p50Us: number
  readonly p99Us: number
  readonly firstByteP50Us: number
  readonly foreignCores: number
  readonly trees: Readonly<Record<string, TreeSeconds>>
}

interface Run {
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

interface Bench {
  readonly stand: Stand
  readonly load: string
  readonly upstreamPid: number
  readonly database: BenchDatabase
  readonly subjects: ReadonlyMap<string, Subject>
  readonly bodies: Readonly<Record<Load['body'], string>>
}

const totalUs = (run: Run): number => run.ownUs + run.databaseUs

function writeBodies(stand: Stand): Bench['bodies'] {
  const write = (name: Load['body'], model: string, stream: boolean): string => {
    const path = join(stand.dir, `${name}.json`)
    const content =
      'Explain in two sentences which balance pays for a request and how a user can check it. '.repeat(5)
    writeFileSync(
      path,
      JSON.stringify({
        model,
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content },
        ],
        max_tokens: 256,
        temperature: 0.2,
        ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
      }),
    )
    return path
  }
  return {
    json: write('json', 'bench', false),
    stream: write('stream', 'bench', true),
    paced: write('paced', 'bench-paced', true),
  }
}

async function setUp(stand: Stand): Promise<{ bench: Bench; forge: Forge; missing: readonly string[] }> {
  const upstream = await stand.run(compile(stand, 'upstream'), ['--gap-us', '5000'], { core: 0 })
  const upstreamPort = Number(upstream.ready['port'])
  const database = await startDatabase(stand, 'gateway')
  const forge = await startForge(stand, database, upstreamPort)
  const direct: Subject = { name: 'direct', pid: null, port: upstreamPort, headers: [] }
  const others = [
    direct,
    await startPassThrough(stand, upstreamPort),
    await startNginx(stand, upstreamPort),
    await startPortkey(stand, upstreamPort),
  ]
  const subjects = new Map(
    [forge, ...others.filter((subject) => subject !== null)].map((subject) => [subject.name, subject]),
  )
  const missing = ['nginx', 'portkey'].filter((name) => !subjects.has(name))
  const bench = {
    stand,
    load: compile(stand, 'load'),
    upstreamPid: upstream.pid,
    database,
    subjects,
    bodies: writeBodies(stand),
  }
  return { bench, forge, missing }
}

interface ForgeLoad {
  readonly body: Load['body']
  readonly rate: number
  readonly seconds: number
}

/** Our gateway alone, for looking into it. */
export async function setUpForge(
  stand: Stand,
  execArgv: readonly string[],
): Promise<{ readonly pid: number; load(what: ForgeLoad): Promise<string> }> {
  const upstream = await stand.run(compile(stand, 'upstream'), ['--gap-us', '5000'], { core: 0 })
  const upstreamPort = Number(upstream.ready['port'])
  const database = await startDatabase(stand, 'gateway')
  const forge = await startForge(stand, database, upstreamPort, execArgv)
  const bodies = writeBodies(stand)
  const bench = {
    stand,
    load: compile(stand, 'load'),
    upstreamPid: upstream.pid,
    database,
    subjects: new Map(),
    bodies,
  }
  return {
    pid: forge.pid ?? 0,
    async load({ body, rate, seconds }) {
      const conns = rate === 0 ? 64 : 512
      const load: Load = { mode: 'json, saturated', body, conns, rate, warmFactor: 0.25, subjects: [] }
      return `${JSON.stringify(await runLoad(bench, forge, load, seconds, 0))}\n`
    },
  }
}

async function runLoad(
  bench: Bench,
  subject: Subject,
  load: Load,
  seconds: number,
  core: Core,
): Promise<LoadReport> {
  const args = [
    ...[
      '--port',
      String(subject.port),
      '--conns',
      String(load.conns),
      '--rate',
      String(load.rate),
      '--body',
      bench.bodies[load.body],
    ],
    ...[
      '--warm',
      String(Math.max(load.body === 'paced' ? 1.3 : 0.3, seconds * load.warmFactor)),
      '--secs',
      String(seconds),
    ],
    ...['--tree', `upstream=${bench.upstreamPid}`, '--tree', `database=${bench.database.pid}`],
    ...(subject.pid === null ? [] : ['--tree', `own=${subject.pid}`]),
    ...subject.headers.flatMap((header) => ['--header', header]),
  ]
  return JSON.parse(await bench.stand.call(bench.load, args, core)) as LoadReport
}

async function measure(
  bench: Bench,
  subject: Subject,
  load: Load,
  round: number,
  seconds: number,
): Promise<Run> {
  const shared = load.mode === 'json, all cores shared'
  if (shared) for (const pid of [bench.upstreamPid, subject.pid ?? 0]) bench.stand.move(pid, 'any')
  const report = await runLoad(bench, subject, load, seconds, shared ? 'any' : 0)
  if (shared) {
    bench.stand.move(bench.upstreamPid, 0)
    if (subject.pid !== null) bench.stand.move(subject.pid, 1)
  }
  const us = (name: string): number => {
    const tree = report.trees[name]
    return tree === undefined ? 0 : ((tree.userSeconds + tree.kernelSeconds) * 1e6) / report.done
  }
  return {
    mode: load.mode,
    subject: subject.name,
    round,
    perSecond: report.perSecond,
    ownUs: us('own'),
    databaseUs: subject.name === FORGE ? us('database') : 0,
    p50Ms: report.p50Us / 1000,
    p99Ms: report.p99Us / 1000,
    firstByteMs: report.firstByteP50Us / 1000,
    notAnswered: report.failed + report.refused,
    foreignCores: Math.max(0, report.foreignCores),
  }
}

export async function measureGateway(stand: Stand, options: GatewayOptions): Promise<Measured> {
  const { quick, say } = options
  const { bench, forge, missing } = await setUp(stand)
  const loads = LOADS.filter((load) => (load.body === 'json' ? options.json : options.streams))
  // What has not run hot is measured as its compiler.
  for (const name of [FORGE, 'pass-through', 'portkey']) {
    const subject = bench.subjects.get(name)
    for (const load of loads.filter(({ rate }) => rate === 0))
      if (subject !== undefined && load.subjects.includes(name))
        await runLoad(bench, subject, load, quick ? 1 : 3, 0)
  }
  const runs: Run[] = []
  const rounds = quick ? 2 : 3
  for (let round = 0; round < rounds; round++) {
    for (const load of loads)
      for (const name of load.subjects) {
        const subject = bench.subjects.get(name)
        if (subject !== undefined)
          runs.push(await measure(bench, subject, load, round, quick ? 1.2 : load.body === 'paced' ? 6 : 4))
      }
    say(`round ${round + 1} of ${rounds} is done`)
  }
  const notes = [
    ...missing.map((name) => `${name} could not be installed here; its lines are missing`),
    await forge.audit(),
  ]
  return { runs, goals: goalsOf(runs, options), notes, text: textOf(runs) }
}

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

function goalsOf(runs: readonly Run[], options: GatewayOptions): Goal[] {
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
  return [...(options.json ? json() : []), ...(options.streams ? streams() : [])]
}

function textOf(runs: readonly Run[]): string {
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
