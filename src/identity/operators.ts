import type { Database, Queryable } from '../db/index.ts'
import type { Uuid } from '../kernel/index.ts'
import type { EventActor, IdentityOptions } from './types.ts'

/** People who operate this installation. There is always an admin once there was one. */

export const OPERATOR_ROLES = ['admin', 'auditor'] as const
export type OperatorRole = (typeof OPERATOR_ROLES)[number]

export interface Operator {
  readonly id: Uuid
  readonly email: string
  readonly name: string
  readonly role: OperatorRole
  readonly twoFactor: boolean
  readonly createdAt: Date
}

export type OperatorRefusal = 'unknown_person' | 'last_admin'
export type OperatorChanged =
  | { readonly ok: true; readonly operator: Operator }
  | { readonly ok: false; readonly reason: OperatorRefusal }

export interface OperatorBook {
  list(): Promise<readonly Operator[]>
  /** Gives a person who has an account a role, or another one. */
  put(email: string, role: OperatorRole, by: EventActor): Promise<OperatorChanged>
  /** The person keeps the account, and is no operator from now on. */
  remove(id: Uuid, by: EventActor): Promise<OperatorChanged>
}

const SELECT = `select p.id, p.email, p.name, o.role, p.two_factor_enabled as "twoFactor", o.created_at as "createdAt"
  from identity.operator o join identity.person p on p.id = o.user_id`

/** Two admins who remove each other at the same time must not both succeed. */
async function lockBook(tx: Queryable): Promise<void> {
  await tx.query('lock table identity.operator in share row exclusive mode')
}

async function adminsBesides(tx: Queryable, id: Uuid): Promise<boolean> {
  const row = await tx.maybeOne(
    `select 1 as one from identity.operator where role = 'admin' and user_id <> $1 limit 1`,
    [id],
  )
  return row !== null
}

/** @param tx of the change that makes the person an operator */
export async function makeAdmin(tx: Queryable, id: Uuid): Promise<void> {
  await tx.query(
    `insert into identity.operator (user_id, role) values ($1, 'admin')
     on conflict (user_id) do update set role = 'admin'`,
    [id],
  )
}

export function createOperatorBook(
  database: Database,
  { recordEvent, endOperatorCodes }: Pick<IdentityOptions, 'recordEvent' | 'endOperatorCodes'>,
  changed: () => void,
): OperatorBook {
  const find = (on: Queryable, id: Uuid): Promise<Operator | null> =>
    on.maybeOne<Operator>(`${SELECT} where o.user_id = $1`, [id])

  async function put(
    tx: Queryable,
    email: string,
    role: OperatorRole,
    by: EventActor,
  ): Promise<OperatorChanged> {
    await lockBook(tx)
    // Anybody may have begun an account under an address that is not theirs.
    const sql = 'select id from identity.person where email = lower($1) and email_verified'
    const person = await tx.maybeOne<{ id: Uuid }>(sql, [email])
    if (person === null) return { ok: false, reason: 'unknown_person' }
    const { id } = person
    const before = await find(tx, id)
    if (before?.role === 'admin' && role !== 'admin' && !(await adminsBesides(tx, id)))
      return { ok: false, reason: 'last_admin' }
    await tx.query(
      `insert into identity.operator (user_id, role) values ($1, $2)
       on conflict (user_id) do update set role = excluded.role`,
      [id, role],
    )
    // A link that was made before would make an admin again.
    if (before?.role === 'admin' && role !== 'admin') await endOperatorCodes(tx)
    await recordEvent(tx, by, {
      orgId: null,
      action: before === null ? 'operator.add' : 'operator.change',
      objectKind: 'person',
      objectId: id,
      ...(before === null ? {} : { before: { role: before.role } }),
      after: { role },
    })
    const operator = await find(tx, id)
    return operator === null ? { ok: false, reason: 'unknown_person' } : { ok: true, operator }
  }

  async function remove(tx: Queryable, id: Uuid, by: EventActor): Promise<OperatorChanged> {
    await lockBook(tx)
    const operator = await find(tx, id)
    if (operator === null) return { ok: false, reason: 'unknown_person' }
    if (operator.role === 'admin' && !(await adminsBesides(tx, id)))
      return { ok: false, reason: 'last_admin' }
    await tx.query('delete from identity.operator where user_id = $1', [id])
    await endOperatorCodes(tx)
    await recordEvent(tx, by, {
      orgId: null,
      action: 'operator.remove',
      objectKind: 'person',
      objectId: id,
      before: { role: operator.role },
    })
    return { ok: true, operator }
  }

  const changing = async (work: (tx: Queryable) => Promise<OperatorChanged>): Promise<OperatorChanged> => {
    const result = await database.tx(work)
    changed()
    return result
  }

  return {
    list: () => database.query<Operator>(`${SELECT} order by o.created_at, p.id`),
    put: (email, role, by) => changing((tx) => put(tx, email, role, by)),
    remove: (id, by) => changing((tx) => remove(tx, id, by)),
  }
}
