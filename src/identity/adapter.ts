import type { BetterAuthOptions } from 'better-auth'
import { createAdapterFactory } from 'better-auth/adapters'
import type { Database, Queryable } from '../db/index.ts'
import { isUuid } from '../kernel/index.ts'
import { hashOf } from './session-cookie.ts'

/**
 * The sign-in library on our own connections: its rows in the schema `identity`, with our time-outs and our role. The
 * token of a session is hashed on its way in and out, so that the library works with tokens and the table holds none.
 */

interface Clause {
  readonly field: string
  readonly operator: string
  readonly value: unknown
  readonly connector: 'AND' | 'OR'
  readonly mode?: string
}

type Row = Record<string, unknown>

const TOKEN = 'token_sha256'
const UUID_COLUMNS = new Set(['id', 'user_id'])
const COMPARISONS: Readonly<Record<string, string>> = {
  eq: '=',
  ne: '<>',
  lt: '<',
  lte: '<=',
  gt: '>',
  gte: '>=',
}

/** Names come from the library's schema, never from a request; quoted all the same. */
function quoted(name: string): string {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new Error(`no name of a column or table: ${name}`)
  return `"${name}"`
}

const tableOf = (model: string): string => `identity.${quoted(model)}`

/** Collects values as `$1`, `$2` … */
class Values {
  readonly list: unknown[] = []
  add(value: unknown): string {
    this.list.push(value)
    return `$${this.list.length}`
  }
}

function conditionOf(clause: Clause, values: Values): string {
  const column = quoted(clause.field)
  const hash = (value: unknown): unknown =>
    clause.field === TOKEN && typeof value === 'string' ? hashOf(value) : value
  // What is no UUID is the id of nothing; the server would call it an error.
  const impossible = (value: unknown): boolean =>
    UUID_COLUMNS.has(clause.field) && !(typeof value === 'string' && isUuid(value))
  if (clause.mode === 'insensitive') throw new Error('comparisons that ignore case are not used')
  if (clause.operator === 'in') {
    const list = (Array.isArray(clause.value) ? clause.value : [clause.value]).filter(
      (value) => !impossible(value),
    )
    return list.length === 0
      ? 'false'
      : `${column} in (${list.map((value) => values.add(hash(value))).join(', ')})`
  }
  const comparison = COMPARISONS[clause.operator]
  if (comparison === undefined) throw new Error(`the operator ${clause.operator} is not used`)
  if (clause.value === null) return `${column} is ${clause.operator === 'eq' ? '' : 'not '}null`
  if (impossible(clause.value)) return 'false'
  return `${column} ${comparison} ${values.add(hash(clause.value))}`
}

/** As the library's own adapters read it: all of the ANDs, and one of the ORs. */
function whereOf(where: readonly Clause[] | undefined, values: Values): string {
  const clauses = where ?? []
  const all = clauses.filter(({ connector }) => connector !== 'OR')
  const any = clauses.filter(({ connector }) => connector === 'OR')
  const parts = all.map((clause) => conditionOf(clause, values))
  if (any.length > 0) parts.push(`(${any.map((clause) => conditionOf(clause, values)).join(' or ')})`)
  return parts.length === 0 ? '' : `where ${parts.join(' and ')}`
}

/** Gives back the tokens that were asked for; of the others the hash is all there is. */
function revealing(where: readonly Clause[] | undefined): <R extends Row>(row: R) => R {
  const known = new Map<unknown, string>()
  for (const { field, value } of where ?? [])
    if (field === TOKEN)
      for (const token of Array.isArray(value) ? value : [value])
        if (typeof token === 'string') known.set(hashOf(token), token)
  return (row) => {
    const token = known.get(row[TOKEN])
    return token === undefined ? row : { ...row, [TOKEN]: token }
  }
}

const stored = (data: Row): Row =>
  typeof data[TOKEN] === 'string' ? { ...data, [TOKEN]: hashOf(data[TOKEN]) } : data

function assignments(data: Row, values: Values): string[] {
  return Object.entries(stored(data)).map(([column, value]) => `${quoted(column)} = ${values.add(value)}`)
}

async function insertRow(on: Queryable, model: string, data: Row): Promise<Row> {
  const values = new Values()
  const row = stored(data)
  const columns = Object.keys(row)
  const places = columns.map((column) => values.add(row[column]))
  const made = await on.one<Row>(
    `insert into ${tableOf(model)} (${columns.map(quoted).join(', ')}) values (${places.join(', ')}) returning *`,
    values.list,
  )
  return typeof data[TOKEN] === 'string' ? { ...made, [TOKEN]: data[TOKEN] } : made
}

interface Many {
  readonly model: string
  readonly where?: readonly Clause[]
  readonly limit?: number
  readonly offset?: number
  readonly sortBy?: { readonly field: string; readonly direction: 'asc' | 'desc' }
}

async function selectRows(on: Queryable, many: Many): Promise<Row[]> {
  const values = new Values()
  const where = whereOf(many.where, values)
  const order =
    many.sortBy === undefined
      ? ''
      : `order by ${quoted(many.sortBy.field)} ${many.sortBy.direction === 'desc' ? 'desc' : 'asc'}`
  const limit = `limit ${values.add(many.limit ?? 100)} offset ${values.add(many.offset ?? 0)}`
  const rows = await on.query<Row>(
    `select * from ${tableOf(many.model)} ${where} ${order} ${limit}`,
    values.list,
  )
  return rows.map(revealing(many.where))
}

/** Changes rows; with `one` the first that fits, under its lock, so that of two askers one finds nothing left to do. */
async function changeRows(
  on: Queryable,
  target: { readonly model: string; readonly where: readonly Clause[]; readonly one: boolean },
  verb: (values: Values) => string,
): Promise<Row[]> {
  const values = new Values()
  const head = verb(values)
  const where = whereOf(target.where, values)
  const rows = await on.query<Row>(
    target.one
      ? `${head} where id = (select id from ${tableOf(target.model)} ${where} limit 1 for update) returning *`
      : `${head} ${where} returning *`,
    values.list,
  )
  return rows.map(revealing(target.where))
}

function updating(model: string, update: Row, increment: Readonly<Record<string, number>> = {}) {
  return (values: Values): string => {
    const more = Object.entries(increment).map(
      ([column, by]) => `${quoted(column)} = coalesce(${quoted(column)}, 0) + ${values.add(by)}`,
    )
    return `update ${tableOf(model)} set ${[...assignments(update, values), ...more].join(', ')}`
  }
}

const deleting = (model: string) => (): string => `delete from ${tableOf(model)}`

type ColumnOf = (name: { model: string; field: string }) => string

/** What the library calls, on one connection or on the pool. */
function methodsOn(on: Queryable, columnOf: ColumnOf) {
  return {
    create: ({ model, data }: { model: string; data: Row }) => insertRow(on, model, data),
    findOne: async ({ model, where }: { model: string; where: Clause[] }) =>
      (await selectRows(on, { model, where, limit: 1 }))[0] ?? null,
    findMany: ({ sortBy, ...many }: Many) =>
      selectRows(
        on,
        // Everything else comes with the names of columns; this comes with the library's.
        sortBy === undefined
          ? many
          : { ...many, sortBy: { ...sortBy, field: columnOf({ model: many.model, field: sortBy.field }) } },
      ),
    count: async ({ model, where }: { model: string; where?: Clause[] }) => {
      const values = new Values()
      const text = `select count(*)::int as n from ${tableOf(model)} ${whereOf(where, values)}`
      return (await on.one<{ n: number }>(text, values.list)).n
    },
    update: async ({ model, where, update }: { model: string; where: Clause[]; update: Row }) =>
      (await changeRows(on, { model, where, one: true }, updating(model, update)))[0] ?? null,
    updateMany: async ({ model, where, update }: { model: string; where: Clause[]; update: Row }) =>
      (await changeRows(on, { model, where, one: false }, updating(model, update))).length,
    delete: async ({ model, where }: { model: string; where: Clause[] }) => {
      await changeRows(on, { model, where, one: true }, deleting(model))
    },
    deleteMany: async ({ model, where }: { model: string; where: Clause[] }) =>
      (await changeRows(on, { model, where, one: false }, deleting(model))).length,
    consumeOne: async ({ model, where }: { model: string; where: Clause[] }) =>
      (await changeRows(on, { model, where, one: true }, deleting(model)))[0] ?? null,
    incrementOne: async (change: {
      model: string
      where: Clause[]
      increment: Record<string, number>
      set?: Row
    }) => {
      const verb = updating(change.model, change.set ?? {}, change.increment)
      return (await changeRows(on, { ...change, one: true }, verb))[0] ?? null
    },
  }
}

type Factory = Parameters<typeof createAdapterFactory>[0]

export function createAdapter(database: Database) {
  // The library's types promise each caller a row of the caller's own type; they are rows as the table has them.
  const on = (queryable: Queryable): Factory['adapter'] =>
    (({ getFieldName }: { getFieldName: ColumnOf }) =>
      methodsOn(queryable, getFieldName)) as unknown as Factory['adapter']
  return (options: BetterAuthOptions) => {
    const config: Factory['config'] = {
      adapterId: 'tokens-forge',
      supportsBooleans: true,
      supportsDates: true,
      supportsJSON: false,
      supportsUUIDs: true,
      transaction: (work) =>
        database.tx((tx) => work(createAdapterFactory({ config, adapter: on(tx) })(options))),
    }
    return createAdapterFactory({ config, adapter: on(database) })(options)
  }
}
