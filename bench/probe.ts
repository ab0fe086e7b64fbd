import { createHook } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import { renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { Socket } from 'node:net'
import { isMainThread } from 'node:worker_threads'

/**
 * Preloaded into a process under test by `allocations.ts` (`--import probe.ts?file=…`): counts what its requests cost in
 * things that no neighbour on the machine changes. Each SIGUSR2 goes one step on: heap sampled, written; kinds of
 * asynchronous work counted, written. The two are apart, since counting allocates.
 */

/** Sampled once in so many bytes on average; V8 scales what it tells up to what was allocated. */
const SAMPLING_BYTES = 4_096

interface HeapNode {
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly selfSize: number
  readonly children: readonly HeapNode[]
}

export interface ProbeReport {
  readonly requests: number
  /** Bytes by the place that allocated them, and by our function that it was done for; null while kinds are counted. */
  readonly alone: Readonly<Record<string, number>>
  readonly whole: Readonly<Record<string, number>>
  /** By the kind that async_hooks knows: PROMISE, Timeout, TickObject … */
  readonly kinds: Readonly<Record<string, number>>
  /** Written to connections that this process opened, by port. */
  readonly written: Readonly<Record<string, number>>
}

const file = new URL(import.meta.url).searchParams.get('file')
const sockets = new Set<Socket>()
let requests = 0

/** Functions are called all sorts of things: a plain object would have some of their names already. */
const counts = (): Record<string, number> => Object.create(null) as Record<string, number>

function add(into: Record<string, number>, name: string, value: number): void {
  into[name] = (into[name] ?? 0) + value
}

function placeOf({ callFrame }: HeapNode): string {
  const url = callFrame.url.replace(/^.*\/node_modules\//, '').replace(/^.*\/(?=(?:src|bench)\/)/, '')
  return `${callFrame.functionName || '(anonymous)'} ${url === '' ? '' : `${url}:${callFrame.lineNumber + 1}`}`.trim()
}

/** The innermost function of ours on the way to an allocation has it, whoever it called. */
function collect(root: HeapNode): Pick<ProbeReport, 'alone' | 'whole'> {
  const [alone, whole] = [counts(), counts()]
  const visit = (node: HeapNode, owner: string): void => {
    const { url } = node.callFrame
    const place = placeOf(node)
    const ours = /\/(?:src|bench)\//.test(url) && !url.includes('/node_modules/')
    const mine = ours ? place : owner
    if (node.selfSize > 0) {
      add(alone, place, node.selfSize)
      add(whole, mine, node.selfSize)
    }
    for (const child of node.children) visit(child, mine)
  }
  visit(root, '(none of ours)')
  return { alone, whole }
}

function writtenNow(): Record<string, number> {
  const written = counts()
  for (const socket of sockets) add(written, String(socket.remotePort ?? 'local'), socket.bytesWritten)
  return written
}

function begin(path: string): void {
  const session = new Session()
  session.connect()
  const kinds = counts()
  const hook = createHook({ init: (_id, kind) => add(kinds, kind, 1) })
  let before = { requests: 0, written: counts() }
  const mark = (): void => {
    before = { requests, written: writtenNow() }
  }
  const report = (found: Partial<ProbeReport>): void => {
    const written = writtenNow()
    for (const [port, bytes] of Object.entries(before.written)) add(written, port, -bytes)
    const whole = { alone: {}, whole: {}, kinds: {}, ...found, written, requests: requests - before.requests }
    // Appears under its name only when it is complete.
    writeFileSync(`${path}.part`, JSON.stringify(whole))
    renameSync(`${path}.part`, path)
  }
  const flags = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
  const steps: ReadonlyArray<() => void> = [
    () => {
      session.post('HeapProfiler.startSampling', { samplingInterval: SAMPLING_BYTES, ...flags }, mark)
    },
    () => {
      session.post('HeapProfiler.stopSampling', (error, answer) => {
        if (error !== null) throw error
        report(collect(answer.profile.head))
      })
    },
    () => {
      mark()
      hook.enable()
    },
    () => {
      hook.disable()
      report({ kinds })
      for (const kind of Object.keys(kinds)) delete kinds[kind]
    },
  ]
  let step = 0
  process.on('SIGUSR2', () => steps[step++ % steps.length]?.())
}

if (isMainThread && file !== null) {
  subscribe('http.server.request.start', () => {
    requests++
  })
  // The driver of the database connects sockets it made itself, which no channel of diagnostics tells of.
  const { connect } = Socket.prototype
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    sockets.add(this)
    this.once('close', () => sockets.delete(this))
    return Reflect.apply(connect, this, args) as Socket
  } as typeof connect
  begin(file)
}
