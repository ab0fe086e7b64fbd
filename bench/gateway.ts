import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FORGE, type GatewayOptions, goalsOf, LOADS, type Load, type Run, textOf } from './gateway-goals.ts'
import type { Measured } from './ledger.ts'
import { type Forge, type Subject, startForge, startNginx, startPassThrough, startPortkey } from './peers.ts'
import { type BenchDatabase, type Core, compile, type Stand, startDatabase } from './stand.ts'

/**
 * The gateway beside others that do less, in turns, one core for the process under test and one for load and upstream;
 * PostgreSQL runs wherever it likes, and its time is counted with ours.
 */

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

interface Bench {
  readonly stand: Stand
  readonly load: string
  readonly upstreamPid: number
  readonly database: BenchDatabase
  readonly subjects: ReadonlyMap<string, Subject>
  readonly bodies: Readonly<Record<Load['body'], string>>
}

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

/** Our gateway, for looking into it, and the pass-through beside it. */
export async function setUpForge(
  stand: Stand,
  execArgv: readonly string[],
  passThroughArgv: readonly string[] = [],
): Promise<{
  readonly pid: number
  readonly databaseUrl: string
  readonly passThrough: Subject
  load(what: ForgeLoad, subject?: Subject): Promise<string>
}> {
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
    databaseUrl: database.url,
    passThrough: await startPassThrough(stand, upstreamPort, passThroughArgv),
    async load({ body, rate, seconds }, subject = forge) {
      const conns = rate === 0 ? 64 : 512
      const load: Load = { mode: 'json, saturated', body, conns, rate, warmFactor: 0.25, subjects: [] }
      return `${JSON.stringify(await runLoad(bench, subject, load, seconds, 0))}\n`
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
  const loads = LOADS
  // What has not run hot is measured as its compiler.
  for (const name of [FORGE, 'pass-through', 'portkey']) {
    const subject = bench.subjects.get(name)
    for (const load of loads.filter(({ rate }) => rate === 0))
      if (subject !== undefined && load.subjects.includes(name))
        await runLoad(bench, subject, load, quick ? 1 : 3, 0)
  }
  const runs: Run[] = []
  const rounds = quick ? 1 : 3
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
  return { runs, goals: goalsOf(runs), notes, text: textOf(runs) }
}
