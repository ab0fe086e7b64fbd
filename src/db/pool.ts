import pg from 'pg'
import { AssertionFailed, assert, errorText, type Log } from '../kernel/index.ts'
import {
  type ConnectionOptions,
  clientConfig,
  connectDedicated,
  type DedicatedConnection,
  inTurn,
  type Queryable,
  queryable,
  runOn,
  type Statement,
} from './connection.ts'
import { isConnectionLoss, sqlState } from './errors.ts'

export interface DatabaseOptions extends ConnectionOptions {
  /** Connections at most. They never idle out: a busy server refuses new ones just when they are needed. */
  readonly max?: number
  /** Lets the process end while connections are open and idle; for commands and tests. */
  readonly exitOnIdle?: boolean
}

export interface Database extends Queryable {
  /**
   * Runs `fn` between BEGIN and COMMIT; ROLLBACK when it throws. Resolves only when the server said that it committed.
   * When it rejects with `isConnectionLoss`, the outcome is unknown: re-read by an id of your own.
   */
  tx<T>(fn: (tx: Queryable) => Promise<T>): Promise<T>
  /** A connection of its own with the same rights and time-outs; the caller closes it. */
  connect(): Promise<DedicatedConnection>
  /** For metrics. */
  connections(): { readonly total: number; readonly idle: number; readonly waiting: number }
  /** Resolves when every borrowed connection came back and all are closed. */
  close(): Promise<void>
}

const MAX_CONNECTIONS = 10

/** 0A000 with this sentence: a migration changed a table under a prepared statement; nothing was executed. */
const STALE_PLAN = /cached plan must not change result type/

function isStalePlan(thrown: unknown): boolean {
  return sqlState(thrown) === '0A000' && STALE_PLAN.test(errorText(thrown))
}

/** Opens a pool; connects on first use. Never ends the process, whatever happens to the server. */
export function openDatabase(options: DatabaseOptions): Database {
  const { log } = options
  const pool = createPool(options)
  let closed: Promise<void> | null = null

  async function runPooled(statement: string | Statement, values: readonly unknown[] | undefined) {
    const client = await pool.connect()
    let spoiled = false
    try {
      const result = await runOn(client, statement, values)
      spoiled = isInTransaction(client)
      assert(!spoiled, 'BEGIN through query(): use tx(), or the next borrower works inside your transaction')
      return result
    } catch (thrown) {
      // Any other error leaves the connection fit for use; the driver's own pool.query would throw it away.
      spoiled ||= isConnectionLoss(thrown) || isStalePlan(thrown)
      throw thrown
    } finally {
      client.release(spoiled)
    }
  }

  return {
    ...queryable(async (statement, values) => {
      try {
        return await runPooled(statement, values)
      } catch (thrown) {
        if (!isStalePlan(thrown)) throw thrown
        return await runPooled(statement, values)
      }
    }),
    tx: (fn) => transaction(pool, log, fn),
    connect: () => connectDedicated(options),
    connections: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close() {
      closed ??= pool.end()
      return closed
    },
  }
}

function createPool(options: DatabaseOptions): pg.Pool {
  const { log } = options
  const pool = new pg.Pool({
    ...clientConfig(options),
    max: options.max ?? MAX_CONNECTIONS,
    idleTimeoutMillis: 0,
    allowExitOnIdle: options.exitOnIdle ?? false,
  })
  const onError = (error: Error): void =>
    log.warn({ error: errorText(error) }, 'a database connection was lost')
  pool.on('error', onError)
  // The pool listens to idle clients only; a borrowed one that dies between two statements would end the process.
  pool.on('connect', (client) => {
    client.on('error', (error) => log.debug({ error: errorText(error) }, 'a borrowed connection was lost'))
  })
  return pool
}

function isInTransaction(client: pg.ClientBase): boolean {
  return client.getTransactionStatus() !== 'I'
}

async function transaction<T>(pool: pg.Pool, log: Log, fn: (tx: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  // Only a connection that is proven to be outside of a transaction goes back to the pool.
  let clean = false
  try {
    await client.query('begin')
    const outcome = await runScoped(client, fn)
    if (!outcome.ok) {
      clean = !isConnectionLoss(outcome.thrown) && (await rollback(client, log))
      throw outcome.thrown
    }
    const { command } = await client.query('commit')
    // The server answers COMMIT with ROLLBACK and no error when a statement had failed and fn went on regardless.
    assert(command === 'COMMIT', 'the transaction was rolled back at its end: a failed statement was ignored')
    clean = !isInTransaction(client)
    return outcome.value
  } finally {
    client.release(!clean)
  }
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly thrown: unknown }

/** Runs `fn` and every statement it started, awaited or not: none of them may come after COMMIT or ROLLBACK. */
async function runScoped<T>(client: pg.ClientBase, fn: (tx: Queryable) => Promise<T>): Promise<Outcome<T>> {
  const run = inTurn(client)
  const inFlight = new Set<Promise<unknown>>()
  const scope: { open: boolean } = { open: true }
  const tx = queryable((statement, values) => {
    // A handle that outlives its transaction would write into somebody else's.
    if (!scope.open) return Promise.reject(new AssertionFailed('this transaction has ended'))
    const result = run(statement, values)
    const settled = result.catch(() => undefined).finally(() => inFlight.delete(settled))
    inFlight.add(settled)
    return result
  })
  let outcome: Outcome<T>
  try {
    outcome = { ok: true, value: await fn(tx) }
  } catch (thrown) {
    outcome = { ok: false, thrown }
  }
  scope.open = false
  await Promise.all(inFlight)
  return outcome
}

/** @returns false when the connection cannot be used again. */
async function rollback(client: pg.ClientBase, log: Log): Promise<boolean> {
  try {
    await client.query('rollback')
    return !isInTransaction(client)
  } catch (thrown) {
    log.warn({ error: errorText(thrown) }, 'a rollback failed; the connection is dropped')
    return false
  }
}
