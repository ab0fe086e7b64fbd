import pg from 'pg'
import { assert, errorText, type Log } from '../kernel/index.ts'
import { isConnectionLoss } from './errors.ts'

/**
 * How one connection is made and how its values are read. The pool, the listener and the migrator all come through
 * here, so that no connection reads int8 as a float or waits for a dead server without end.
 */

export type Row = Readonly<Record<string, unknown>>

/** A name makes it a prepared statement, kept per connection; one name must always carry the same text. */
export interface Statement {
  readonly name?: string
  readonly text: string
  readonly values?: readonly unknown[]
}

export interface Queryable {
  /** Several statements in one text are allowed without values only; the rows are then those of the last one. */
  query<R extends object = Row>(
    statement: string | Statement,
    values?: readonly unknown[],
  ): Promise<readonly R[]>
  /** Exactly one row; anything else is a fault of ours and throws. */
  one<R extends object = Row>(statement: string | Statement, values?: readonly unknown[]): Promise<R>
  /** The row, or null; more than one throws. */
  maybeOne<R extends object = Row>(
    statement: string | Statement,
    values?: readonly unknown[],
  ): Promise<R | null>
}

/** A connection of its own, outside the pool: for LISTEN, session locks and migrations. */
export interface DedicatedConnection extends Queryable {
  /** The server's process, as `pg_terminate_backend` wants it. */
  readonly backendPid: number
  onNotification(handler: (channel: string, payload: string) => void): void
  /** Called once, with the cause, when the connection ends without `close()`; at once if it has. */
  onLost(handler: (cause: Error) => void): void
  /** Lets the process exit although the connection is open. */
  unref(): void
  close(): Promise<void>
}

export interface ConnectionOptions {
  /** `postgresql://…`; a socket directory goes into `?host=`. */
  readonly connection: string
  readonly log: Log
  /** The role whose rights apply, e.g. `forge_app`; also what RESET ROLE returns to. */
  readonly role?: string
  /** The server gives up; must be below queryTimeoutMs, or the outcome is unknown more often than it need be. 0: never. */
  readonly statementTimeoutMs?: number
  /** We give up and drop the connection. 0: never. */
  readonly queryTimeoutMs?: number
  /** Includes waiting for a free connection of the pool. */
  readonly connectTimeoutMs?: number
  readonly applicationName?: string
}

const STATEMENT_TIMEOUT_MS = 5_000
const QUERY_TIMEOUT_MS = 7_000
const CONNECT_TIMEOUT_MS = 2_000
/** A transaction that waits for us this long holds locks for nothing: we have died or forgotten it. */
const IDLE_IN_TRANSACTION_MS = 10_000

const OID_INT8 = 20
const OID_INT8_ARRAY = 1016
const OID_TEXT_ARRAY = 1009
const OID_DATE = 1082

type Parser = (text: string) => unknown

function toBigints(value: unknown): unknown {
  if (value === null) return null
  return Array.isArray(value) ? value.map(toBigints) : BigInt(String(value))
}

const driverParser = pg.types.getTypeParser as (oid: number, format?: string) => Parser
const parseTextArray = driverParser(OID_TEXT_ARRAY, 'text')

/**
 * int8 is bigint: the driver's default is text, and a float would lose money above 2⁵³. A date stays text: the driver
 * would make it midnight of this machine's time zone.
 */
const PARSERS = new Map<number, Parser>([
  [OID_INT8, BigInt],
  [OID_INT8_ARRAY, (text) => toBigints(parseTextArray(text))],
  [OID_DATE, (text) => text],
])

const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    const own = format === 'binary' ? undefined : PARSERS.get(oid)
    return own ?? driverParser(oid, format)
  }) as typeof pg.types.getTypeParser,
}

/** The driver's settings for these options. */
export function clientConfig(options: ConnectionOptions): pg.ClientConfig {
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const queryTimeoutMs = options.queryTimeoutMs ?? Math.max(QUERY_TIMEOUT_MS, statementTimeoutMs + 2_000)
  assert(
    queryTimeoutMs === 0 || (statementTimeoutMs > 0 && queryTimeoutMs > statementTimeoutMs),
    'queryTimeoutMs must be above statementTimeoutMs',
  )
  return {
    ...withServerOptions(options.connection, options.role),
    types,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    query_timeout: queryTimeoutMs,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    application_name: options.applicationName ?? 'tokens-forge',
  }
}

/**
 * The role goes with the start-up message, so there is no moment at which a connection has more rights. The driver
 * lets the URL's own `options` win over ours; both are joined here, or that URL would silently drop the role.
 */
function withServerOptions(
  url: string,
  role: string | undefined,
): { connectionString: string; options?: string } {
  const [base = '', query = ''] = url.split('?', 2)
  const params = new URLSearchParams(query)
  const given = params.get('options')
  params.delete('options')
  assert(role === undefined || /^[a-z_][a-z0-9_]*$/.test(role), 'a role is a plain lower-case name')
  const options = [given, role === undefined ? null : `-c role=${role}`].filter((part) => part !== null)
  const connectionString = params.size === 0 ? base : `${base}?${params.toString()}`
  return options.length === 0 ? { connectionString } : { connectionString, options: options.join(' ') }
}

/** One statement on one client. */
export async function runOn(
  client: pg.ClientBase,
  statement: string | Statement,
  values: readonly unknown[] | undefined,
): Promise<pg.QueryResult> {
  const parts: Statement = typeof statement === 'string' ? { text: statement } : statement
  const bound = parts.values ?? values
  const config: pg.QueryConfig<unknown[]> = { text: parts.text }
  if (parts.name !== undefined) config.name = parts.name
  // The driver only reads them; copying a ledger batch per call would be waste.
  if (bound !== undefined) config.values = bound as unknown[]
  const result: pg.QueryResult | pg.QueryResult[] = await client.query(config)
  if (!Array.isArray(result)) return result
  const last = result.at(-1)
  assert(last !== undefined, 'a query text without a statement')
  return last
}

/** `query`, `one` and `maybeOne` over anything that runs a statement. */
export function queryable(
  run: (statement: string | Statement, values: readonly unknown[] | undefined) => Promise<pg.QueryResult>,
): Queryable {
  const maybeOne = async <R extends object>(
    statement: string | Statement,
    values?: readonly unknown[],
  ): Promise<R | null> => {
    const { rows } = await run(statement, values)
    assert(rows.length <= 1, `expected at most one row, got ${rows.length}`)
    return (rows[0] as R | undefined) ?? null
  }
  return {
    query: async <R extends object>(statement: string | Statement, values?: readonly unknown[]) =>
      (await run(statement, values)).rows as readonly R[],
    maybeOne,
    one: async <R extends object>(statement: string | Statement, values?: readonly unknown[]) => {
      const row = await maybeOne<R>(statement, values)
      assert(row !== null, 'expected one row, got none')
      return row
    },
  }
}

/**
 * Runs statements one after the other on a client that others may also hold in this process: the driver's own queue
 * starts a time-out when a statement is queued, so a second one could time out without ever having been sent.
 */
export function inTurn(
  client: pg.ClientBase,
): (statement: string | Statement, values: readonly unknown[] | undefined) => Promise<pg.QueryResult> {
  let tail: Promise<unknown> = Promise.resolve()
  return (statement, values) => {
    const mine = tail.then(() => runOn(client, statement, values))
    tail = mine.catch(() => undefined)
    return mine
  }
}

/** Opens one connection outside any pool. Throws what the driver throws; see errors.ts. */
export async function connectDedicated(options: ConnectionOptions): Promise<DedicatedConnection> {
  const client = new pg.Client(clientConfig(options))
  let lost: Error | null = null
  let closing = false
  const waiting: Array<(cause: Error) => void> = []
  const lose = (cause: Error): void => {
    if (lost !== null || closing) return
    lost = cause
    for (const handler of waiting) handler(cause)
  }
  // Without a listener the driver's error event would end the process.
  client.on('error', lose)
  client.on('end', () => lose(new Error('Connection terminated unexpectedly')))
  try {
    await client.connect()
  } catch (thrown) {
    closing = true
    await client.end().catch(() => undefined)
    throw thrown
  }
  const run = inTurn(client)
  const backendPid = (client as unknown as { processID: number }).processID
  return {
    ...queryable(async (statement, values) => {
      try {
        return await run(statement, values)
      } catch (thrown) {
        // After our own time-out the driver would give the late answer to the next statement's asker.
        if (isConnectionLoss(thrown)) {
          lose(thrown instanceof Error ? thrown : new Error(errorText(thrown)))
          await client.end().catch(() => undefined)
        }
        throw thrown
      }
    }),
    backendPid,
    onNotification(handler) {
      client.on('notification', (message) => handler(message.channel, message.payload ?? ''))
    },
    onLost(handler) {
      if (lost === null) waiting.push(handler)
      else handler(lost)
    },
    unref() {
      ;(client as unknown as { unref(): void }).unref()
    },
    async close() {
      closing = true
      // Whoever waits for the end of an unref'd connection must not be cut off by the end of the process.
      ;(client as unknown as { ref(): void }).ref()
      await client.end()
    },
  }
}
