import { AssertionFailed } from '../kernel/index.ts'
import type { Queryable, Row, Statement } from './connection.ts'
import type { Database } from './pool.ts'

/**
 * A database whose every statement runs with these settings, and in a transaction, since they end with it: a connection
 * that goes back to the pool carries nothing of one customer to the next.
 * @param settings names with a dot, as PostgreSQL wants of settings that are not its own
 */
export function bindDatabase(database: Database, settings: Readonly<Record<string, string>>): Database {
  const names = Object.keys(settings)
  const set = {
    text: `select ${names.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, true)`).join(', ')}`,
    values: names.flatMap((name) => [name, settings[name]]),
  }
  const tx: Database['tx'] = (fn) =>
    database.tx(async (inner) => {
      await inner.query(set)
      return fn(inner)
    })
  const alone = <R>(ask: (inner: Queryable) => Promise<R>): Promise<R> => tx(ask)
  return {
    query: <R extends object = Row>(statement: string | Statement, values?: readonly unknown[]) =>
      alone((inner) => inner.query<R>(statement, values)),
    one: <R extends object = Row>(statement: string | Statement, values?: readonly unknown[]) =>
      alone((inner) => inner.one<R>(statement, values)),
    maybeOne: <R extends object = Row>(statement: string | Statement, values?: readonly unknown[]) =>
      alone((inner) => inner.maybeOne<R>(statement, values)),
    tx,
    connect: () =>
      Promise.reject(new AssertionFailed('a bound database lends no connection: it would be unbound')),
    connections: () => database.connections(),
    close: () => Promise.reject(new AssertionFailed('the pool belongs to who opened it')),
  }
}
