import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatabase } from '../src/db/index.ts'
import { silentLog } from '../src/kernel/index.ts'
import { setUpForge } from './gateway.ts'
import type { Measured } from './ledger.ts'
import type { ProbeReport } from './probe.ts'
import { figure, table } from './report.ts'
import type { Stand } from './stand.ts'

/**
 * What one plain request costs in things that do not depend on who else uses the machine: bytes allocated, promises and
 * timers made, bytes sent to the database. The gateway and our pass-through in the same run, saturated JSON.
 */

const TOP = 40
const READY_MS = 30_000

async function reportOf(path: string): Promise<ProbeReport> {
  for (const until = performance.now() + READY_MS; !existsSync(path); await sleep(50))
    if (performance.now() > until) throw new Error('the probe wrote nothing')
  const report = JSON.parse(readFileSync(path, 'utf8')) as ProbeReport
  rmSync(path)
  return report
}

interface Probed {
  readonly heap: ProbeReport
  readonly kinds: ProbeReport
  readonly commits: number
}

interface Loaded {
  readonly pid: number
  load(seconds: number): Promise<unknown>
  commits(): Promise<number>
}

async function probe({ pid, load, commits }: Loaded, path: string, seconds: number): Promise<Probed> {
  const step = (): boolean => process.kill(pid, 'SIGUSR2')
  // What is not compiled yet allocates otherwise.
  await load(seconds * 1.5)
  step()
  await load(seconds)
  step()
  const heap = await reportOf(path)
  const before = await commits()
  step()
  await load(seconds)
  step()
  const kinds = await reportOf(path)
  return { heap, kinds, commits: (await commits()) - before }
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

function places(title: string, counts: Readonly<Record<string, number>>, requests: number): string {
  const rows = Object.entries(counts)
    .sort((a, b) => b[1] - a[1])
    .slice(0, TOP)
    .map(([place, bytes]) => [place, figure(bytes / requests)])
  return table([title, 'bytes'], rows)
}

const KINDS = ['PROMISE', 'Timeout', 'Immediate', 'TickObject'] as const

function rowOf(name: string, { heap, kinds, commits }: Probed, databasePort: string): string[] {
  const sent = kinds.written[databasePort] ?? 0
  return [
    name,
    figure(total(heap.alone) / heap.requests),
    ...KINDS.map((kind) => figure((kinds.kinds[kind] ?? 0) / kinds.requests)),
    figure(total(kinds.kinds) / kinds.requests),
    figure(sent / kinds.requests),
    figure(commits === 0 ? 0 : kinds.requests / commits),
    figure(heap.requests),
  ]
}

export async function measureAllocations(stand: Stand, quick: boolean): Promise<Measured> {
  const seconds = quick ? 4 : 8
  const paths = [join(stand.dir, 'probe-forge.json'), join(stand.dir, 'probe-pass.json')] as const
  const preload = (path: string): string[] => [
    '--import',
    `${new URL('probe.ts', import.meta.url).href}?file=${encodeURIComponent(path)}`,
  ]
  const setUp = await setUpForge(stand, preload(paths[0]), preload(paths[1]))
  const database = openDatabase({ connection: setUp.databaseUrl, log: silentLog, max: 1 })
  const commits = async (): Promise<number> => {
    // A backend tells its figures once it has been idle for a moment.
    await sleep(1_200)
    const sql = 'select sum(xact_commit)::int as n from pg_stat_database where datname = current_database()'
    return (await database.one<{ n: number }>(sql)).n
  }
  try {
    const json = { body: 'json', rate: 0 } as const
    const forge = await probe(
      { pid: setUp.pid, load: (length) => setUp.load({ ...json, seconds: length }), commits },
      paths[0],
      seconds,
    )
    const pass = await probe(
      {
        pid: setUp.passThrough.pid ?? 0,
        load: (length) => setUp.load({ ...json, seconds: length }, setUp.passThrough),
        commits: () => Promise.resolve(0),
      },
      paths[1],
      seconds,
    )
    const port = 'local'
    const head = ['per request', 'bytes', 'promises', 'timers', 'immediates', 'ticks', 'all kinds']
    const summary = table(
      [...head, 'bytes to the database', 'requests a commit', 'requests seen'],
      [rowOf('tokens-forge', forge, port), rowOf('pass-through', pass, port)],
    )
    const text = [
      summary,
      places('ours, for whom it was allocated', forge.heap.whole, forge.heap.requests),
      places('ours, allocating function alone', forge.heap.alone, forge.heap.requests),
      places('pass-through, allocating function alone', pass.heap.alone, pass.heap.requests),
    ].join('\n\n')
    return { runs: [forge, pass], goals: [], notes: [], text }
  } finally {
    await database.close()
  }
}
