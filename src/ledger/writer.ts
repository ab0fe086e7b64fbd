import { type Database, isConnectionLoss, isRetryable, isUniqueViolation } from '../db/index.ts'
import { errorText, type Log, type Uuid } from '../kernel/index.ts'
import { APPLY_SQL, decodeResults, encodeBatch, type Parameter } from './encode.ts'
import type { LedgerOp, OpResult } from './ops.ts'

/**
 * One writer a process: ops that arrive while a batch is under way go together as the next one, so that the cost of a
 * commit is shared exactly when there is load. Settlements wait a moment for company (LINGER_MS): nobody waits for them.
 */

const BATCH_MAX = 500
const QUEUE_MAX = 5_000
const LINGER_MS = 10
const RETRY_FIRST_MS = 20
const RETRY_LAST_MS = 1_000

/** An op the database refuses to execute at all (overflow, a bug): its neighbours are not harmed by it. */
export class LedgerFault extends Error {
  override name = 'LedgerFault'
}

/** The queue is full: the caller must answer 503, nothing was asked of the ledger. */
export class LedgerOverloaded extends Error {
  override name = 'LedgerOverloaded'
}

interface Queued {
  readonly op: LedgerOp
  readonly done: (result: OpResult) => void
  readonly failed: (error: Error) => void
}

export interface LedgerWriter {
  /** Rejects with LedgerOverloaded (at once) or LedgerFault; a lost connection is retried until it is answered. */
  submit(op: LedgerOp): Promise<OpResult>
  /** For ops that others wait behind: no promise, one callback; `urgent` does not linger. */
  enqueue(
    op: LedgerOp,
    urgent: boolean,
    done: (result: OpResult) => void,
    failed: (error: Error) => void,
  ): void
  /** Ops queued or under way. */
  readonly depth: number
  /** False while the database has not answered the batch under way. */
  readonly healthy: boolean
  /** Resolves when everything queued was answered. */
  drain(): Promise<void>
}

export interface WriterOptions {
  readonly database: Database
  readonly processId: Uuid
  readonly log: Log
  /** Ops whose caller has gone must not be lost when the queue is full (settlements): the limit is for new work. */
  readonly queueMax?: number
  readonly batchMax?: number
  readonly lingerMs?: number
}

/**
 * True for what would fail the same way for ever: bad values, broken rules, faults of ours. Everything else (lost
 * connections, a full disk, a server that starts up) passes with time, and until then no op may be given up.
 */
function isPoison(thrown: unknown): boolean {
  if (thrown instanceof LedgerFault) return true
  if (isConnectionLoss(thrown) || isRetryable(thrown)) return false
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : ''
  return /^(?:22|23|42|54|P0|XX)/.test(code)
}

/** New work is refused when the queue is full; endings never are, or money would stay held. */
const REFUSABLE = new Set<LedgerOp['kind']>(['reserve', 'record', 'extend', 'renew'])

interface Executor {
  /** Applies the ops, as often as it takes, and answers each. Never rejects. */
  apply(batch: readonly Queued[]): Promise<void>
  readonly healthy: boolean
}

function createExecutor({ database, processId, log }: WriterOptions): Executor {
  let healthy = true

  async function execute(ops: readonly LedgerOp[], values: readonly Parameter[]): Promise<OpResult[]> {
    const rows = await database.query<{ v: string; f: string; l: string | null }>({
      name: 'ledger_apply',
      text: APPLY_SQL,
      values,
    })
    const row = rows[0]
    if (row === undefined) throw new LedgerFault('ledger.apply answered nothing')
    try {
      return decodeResults(row.v, row.f, ops.length, row.l)
    } catch (thrown) {
      // The database has decided; asking again would get the same unreadable answer for ever.
      throw new LedgerFault(errorText(thrown))
    }
  }

  /** The identical batch again, as often as it takes: every op is done once whatever became of the lost answers. */
  async function executeForSure(ops: readonly LedgerOp[]): Promise<OpResult[]> {
    const values = encodeBatch(processId, ops)
    let collided = false
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_LAST_MS)) {
      try {
        const results = await execute(ops, values)
        if (!healthy) log.info({ ops: ops.length }, 'the ledger answers again')
        healthy = true
        return results
      } catch (thrown) {
        // Another process used one of the ids at this moment, for another account: it has committed, so look again.
        if (isUniqueViolation(thrown) && !collided) {
          collided = true
          continue
        }
        if (isPoison(thrown)) {
          // It does answer; left at false, a caller that asks `healthy` first would never send what clears it.
          healthy = true
          throw thrown
        }
        if (healthy)
          log.error(
            { error: errorText(thrown), ops: ops.length },
            'the ledger does not answer; retrying the batch',
          )
        healthy = false
        // A process that has given up waiting for the ledger may end.
        await new Promise((resolve) => setTimeout(resolve, waitMs).unref())
      }
    }
  }

  async function apply(batch: readonly Queued[]): Promise<void> {
    let results: OpResult[]
    try {
      results = await executeForSure(batch.map((queued) => queued.op))
    } catch (thrown) {
      const only = batch[0]
      if (batch.length === 1 && only !== undefined) {
        log.error(
          { error: errorText(thrown), kind: only.op.kind, id: only.op.id },
          'the ledger cannot execute an op',
        )
        answer(log, only, () => only.failed(new LedgerFault(errorText(thrown))))
        return
      }
      // One op poisons the batch; halves find it, and its neighbours go through in their order.
      const middle = batch.length >> 1
      await apply(batch.slice(0, middle))
      await apply(batch.slice(middle))
      return
    }
    for (let i = 0; i < batch.length; i++) {
      const queued = batch[i]
      const result = results[i]
      if (queued !== undefined && result !== undefined) answer(log, queued, () => queued.done(result))
    }
  }

  return {
    apply,
    get healthy() {
      return healthy
    },
  }
}

/** A caller that throws on its answer must not take its neighbours' answers with it. */
function answer(log: Log, queued: Queued, call: () => void): void {
  try {
    call()
  } catch (thrown) {
    log.error(
      { error: errorText(thrown), kind: queued.op.kind },
      'a caller of the ledger threw on its answer',
    )
  }
}

export function createLedgerWriter(options: WriterOptions): LedgerWriter {
  const executor = createExecutor(options)
  const queueMax = options.queueMax ?? QUEUE_MAX
  const batchMax = options.batchMax ?? BATCH_MAX
  const lingerMs = options.lingerMs ?? LINGER_MS
  let queue: Queued[] = []
  let running = 0
  let scheduled = false
  let lingering: NodeJS.Timeout | null = null
  let idle: Array<() => void> = []

  function run(): void {
    scheduled = false
    if (running > 0 || queue.length === 0) return
    if (lingering !== null) {
      clearTimeout(lingering)
      lingering = null
    }
    const batch = queue.length > batchMax ? queue.splice(0, batchMax) : queue
    if (batch === queue) queue = []
    running = batch.length
    void executor.apply(batch).finally(() => {
      running = 0
      if (queue.length > 0) run()
      else if (idle.length > 0) {
        const waiting = idle
        idle = []
        for (const resolve of waiting) resolve()
      }
    })
  }

  function schedule(urgent: boolean): void {
    if (running > 0 || scheduled) return
    if (urgent || lingerMs === 0 || queue.length >= batchMax) {
      scheduled = true
      setImmediate(run)
    } else if (lingering === null) {
      lingering = setTimeout(() => {
        lingering = null
        run()
      }, lingerMs)
    }
  }

  return {
    enqueue(op, urgent, done, failed) {
      if (queue.length >= queueMax && REFUSABLE.has(op.kind)) {
        failed(new LedgerOverloaded(`${queue.length} operations wait for the ledger`))
        return
      }
      queue.push({ op, done, failed })
      schedule(urgent)
    },
    submit(op) {
      return new Promise((resolve, reject) => this.enqueue(op, true, resolve, reject))
    },
    get depth() {
      return queue.length + running
    },
    get healthy() {
      return executor.healthy
    },
    drain() {
      if (queue.length === 0 && running === 0) return Promise.resolve()
      return new Promise((resolve) => {
        idle.push(resolve)
        schedule(true)
      })
    },
  }
}
