import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setUpForge } from './gateway.ts'
import { table } from './report.ts'
import { openStand, type Stand } from './stand.ts'
import { STREAM_FORMATS } from './stream-formats.ts'
import { loadPair, setUpStreams } from './streams.ts'

/**
 * Where the gateway's own time goes at saturation, from V8's sampling profiler: by part, by function alone, and by our
 * functions with what they call.
 *
 *   node bench/profile.ts [json|stream|paced] [requests per second, 0 for as many as it can]
 *   node bench/profile.ts <upstream>-<caller> [burst|paced]      formats of bench/streams.ts: messages-chat
 */

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

interface Profile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const TOP = 45
const IDLE = new Set(['(idle)', '(program)', '(root)'])

function placeOf({ callFrame }: ProfileNode): string {
  const file = callFrame.url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/(?=src\/)/, '')
  return `${callFrame.functionName || '(anonymous)'} ${file === '' ? '' : `${file}:${callFrame.lineNumber + 1}`}`.trim()
}

function partOf({ callFrame }: ProfileNode): string {
  const { url, functionName } = callFrame
  if (functionName === '(garbage collector)') return 'garbage collector'
  const own = /\/src\/([^/]+)\//.exec(url)
  if (own !== null && !url.includes('/node_modules/')) return `src/${own[1]}`
  const pack = /\/node_modules\/([^/]+)\//.exec(url)
  if (pack !== null) return pack[1] ?? ''
  if (url.startsWith('node:')) return url.split('/')[0] ?? url
  return url === '' ? 'native' : url
}

function sum(map: Map<string, number>, key: string, value: number): void {
  map.set(key, (map.get(key) ?? 0) + value)
}

/** @param skipUs the start of the process, which is not what is asked about */
function analyse(profile: Profile, skipUs: number): string {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  const parent = new Map(
    profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)),
  )
  const [parts, alone, whole] = [
    new Map<string, number>(),
    new Map<string, number>(),
    new Map<string, number>(),
  ]
  let [total, atUs] = [0, 0]
  profile.samples.forEach((id, i) => {
    const us = profile.timeDeltas[i] ?? 0
    atUs += us
    const node = byId.get(id)
    if (node === undefined || atUs < skipUs || IDLE.has(node.callFrame.functionName)) return
    total += us
    sum(parts, partOf(node), us)
    sum(alone, placeOf(node), us)
    const seen = new Set<string>()
    for (let at: number | undefined = id; at !== undefined; at = parent.get(at)) {
      const frame = byId.get(at)
      if (frame === undefined || !partOf(frame).startsWith('src/')) continue
      const place = placeOf(frame)
      if (!seen.has(place)) sum(whole, place, us)
      seen.add(place)
    }
  })
  const top = (title: string, map: Map<string, number>): string =>
    table(
      [title, '%'],
      [...map]
        .sort((a, b) => b[1] - a[1])
        .slice(0, TOP)
        .map(([name, us]) => [name, ((us * 100) / total).toFixed(1)]),
    )
  return [
    top('part', parts),
    top('function alone', alone),
    top('our function with what it calls', whole),
  ].join('\n\n')
}

interface Loaded {
  readonly pid: number
  load(seconds: number): Promise<string>
}

async function setUp(stand: Stand, [wanted = 'json', how = '0']: readonly string[]): Promise<Loaded> {
  const execArgv = ['--cpu-prof', `--cpu-prof-dir=${stand.dir}`, '--cpu-prof-interval=500']
  const [upstream, caller] = wanted
    .split('-')
    .map((name) => STREAM_FORMATS.find((format) => format.name === name))
  if (upstream !== undefined && caller !== undefined) {
    const bench = await setUpStreams(stand, execArgv)
    const pace = how === 'paced' ? 'paced' : 'burst'
    const load = (seconds: number): Promise<string> =>
      loadPair(bench, bench.forge, { caller, upstream }, { pace, seconds })
    return { pid: bench.forge.pid ?? 0, load }
  }
  const body = wanted === 'stream' || wanted === 'paced' ? wanted : 'json'
  const { pid, load } = await setUpForge(stand, execArgv)
  return { pid, load: (seconds) => load({ body, rate: Number(how), seconds }) }
}

const stand = openStand()
try {
  const { load, pid } = await setUp(stand, process.argv.slice(2))
  process.stdout.write(await load(8))
  const warmUs = 13_000_000
  process.stdout.write(await load(6))
  await stand.call('sh', ['-c', `kill ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.1; done`], 'any')
  const file = readdirSync(stand.dir).find((name) => name.endsWith('.cpuprofile'))
  if (file === undefined) throw new Error('no profile was written')
  process.stdout.write(
    `${analyse(JSON.parse(readFileSync(join(stand.dir, file), 'utf8')) as Profile, warmUs)}\n`,
  )
} finally {
  await stand.close()
}
