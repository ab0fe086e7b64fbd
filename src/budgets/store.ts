import type { AuditActor, BudgetScope } from '../contract/index.ts'
import { type Database, isUniqueViolation, type Queryable } from '../db/index.ts'
import { type Clock, type IdSource, isoTime, type Nano, type Uuid } from '../kernel/index.ts'
import {
  BUDGET_COLUMNS,
  type Budget,
  type BudgetRow,
  type BudgetState,
  budgetOf,
  type Window,
} from './records.ts'
import { windowOf } from './windows.ts'

/** Budgets as rows: every write is one of the ledger's functions, which keep the history. */

/** Who asks, for the history and the log of changes. */
export interface BudgetActor {
  readonly kind: AuditActor
  readonly id: Uuid | null
  readonly requestId: Uuid | null
  readonly address: string | null
}

export interface NewBudget extends Omit<Budget, 'id' | 'createdAtMs' | 'endedAtMs'> {
  readonly by: BudgetActor
}

export interface BudgetFilter {
  readonly orgId: Uuid | null
  readonly scope: BudgetScope | null
  readonly scopeId: string | null
  /** Only what a key of this project falls under. */
  readonly seenBy: { readonly projectId: Uuid; readonly apiKeyId: Uuid } | null
  readonly ended: boolean
  readonly limit: number
  readonly before: Uuid | null
}

export interface BudgetStore {
  /** Null when one is in force for that scope, bucket, period and kind. */
  make(input: NewBudget): Promise<BudgetState | null>
  /** `conflict` when another one of the new kind is in force. */
  change(
    of: { readonly orgId: Uuid; readonly id: Uuid },
    to: {
      readonly amountNano?: Nano
      readonly hard?: boolean
      readonly end?: true
      readonly by: BudgetActor
    },
  ): Promise<'done' | 'ended' | 'conflict'>
  get(id: Uuid, seenBy?: BudgetFilter['seenBy']): Promise<BudgetState | null>
  /** Newest first. */
  list(filter: BudgetFilter): Promise<readonly BudgetState[]>
}

const FROM = `select ${BUDGET_COLUMNS}, coalesce(o.time_zone, 'UTC') as time_zone, ledger.set_by(g.org_id, g.id) as set_by from ledger.budget g
  join ledger.account a on a.org_id = g.org_id and a.id = g.account_id
  left join tenancy.organization o on o.id = g.org_id`

/** @param at the place of the project's id among the parameters; the key's is behind it */
const seen = (at: number): string => `($${at}::uuid is null or g.scope in ('organization', 'route')
    or g.scope = 'project' and g.scope_id = $${at}::text or g.scope = 'key' and g.scope_id = $${at + 1}::text
    or g.scope = 'run' and g.scope_id in (select r.id::text from tenancy.run r where r.org_id = g.org_id and r.project_id = $${at}::uuid))`

type ZonedRow = BudgetRow & { readonly time_zone: string; readonly set_by: AuditActor }

export interface BudgetStoreOptions {
  readonly database: Database
  readonly clock: Clock
  readonly ids: IdSource
  /** Called when budgets of an organization have changed. */
  readonly changed: (orgId: Uuid) => void
}

/** What counts in the windows of now. */
async function withUse(
  database: Database,
  nowMs: number,
  rows: readonly ZonedRow[],
): Promise<readonly BudgetState[]> {
  if (rows.length === 0) return []
  const known = new Map<string, Window>()
  const windows = rows.map(({ time_zone, period }) => {
    const window = known.get(`${time_zone} ${period}`) ?? windowOf(time_zone, period, nowMs)
    known.set(`${time_zone} ${period}`, window)
    return window
  })
  const uses = await database.query<{ budget_id: string; used: bigint; held: bigint }>(
    `select x.budget_id, x.used, x.held from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) u(org, id, start)
     join ledger.budget_use x on x.org_id = u.org and x.budget_id = u.id and x.window_start = u.start`,
    [
      rows.map((row) => row.org_id),
      rows.map((row) => row.id),
      windows.map((window) => isoTime(window.startMs)),
    ],
  )
  const byId = new Map(uses.map((use) => [use.budget_id, use]))
  return rows.map((row, i) => ({
    ...budgetOf(row),
    setBy: row.set_by,
    usedNano: byId.get(row.id)?.used ?? 0n,
    heldNano: byId.get(row.id)?.held ?? 0n,
    window: windows[i] as Window,
  }))
}

/** The event is written by a trigger, in the transaction of the change; this tells it whom to name. */
function attributed<T>(
  database: Database,
  by: BudgetActor,
  change: (tx: Queryable, by: string) => Promise<T>,
) {
  return database.tx(async (tx) => {
    await tx.query(`select set_config('forge.actor', $1, true)`, [JSON.stringify(by)])
    return change(tx, by.id === null ? by.kind : `${by.kind}:${by.id}`)
  })
}

export function createBudgetStore({ database, clock, ids, changed }: BudgetStoreOptions): BudgetStore {
  const states = (rows: readonly ZonedRow[]) => withUse(database, clock.nowMs(), rows)

  async function get(id: Uuid, seenBy: BudgetFilter['seenBy'] = null): Promise<BudgetState | null> {
    const values = [id, seenBy?.projectId ?? null, seenBy?.apiKeyId ?? null]
    const rows = await database.query<ZonedRow>(`${FROM} where g.id = $1 and ${seen(2)}`, values)
    return (await states(rows))[0] ?? null
  }

  return {
    get,
    async make(input) {
      const id = ids.uuid()
      try {
        await attributed(database, input.by, (tx, by) =>
          tx.query('select ledger.make_budget($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)', [
            input.orgId,
            id,
            input.bucket,
            input.currency,
            input.scope,
            input.scopeId,
            input.period,
            input.amountNano,
            input.hard,
            by,
          ]),
        )
      } catch (thrown) {
        if (isUniqueViolation(thrown)) return null
        throw thrown
      }
      changed(input.orgId)
      return await get(id)
    },
    async change({ orgId, id }, to) {
      try {
        const { done } = await attributed(database, to.by, (tx, by) =>
          tx.one<{ done: boolean }>('select ledger.change_budget($1, $2, $3, $4, $5, $6) as done', [
            orgId,
            id,
            to.amountNano ?? null,
            to.hard ?? null,
            to.end ?? false,
            by,
          ]),
        )
        changed(orgId)
        return done ? 'done' : 'ended'
      } catch (thrown) {
        if (isUniqueViolation(thrown)) return 'conflict'
        throw thrown
      }
    },
    async list(filter) {
      const rows = await database.query<ZonedRow>(
        `${FROM} where ($1::uuid is null or g.org_id = $1) and ($2::text is null or g.scope = $2)
           and ($3::text is null or g.scope_id = $3) and ${seen(4)} and (g.ended_at is null or $6)
           and ($7::uuid is null or g.id < $7) order by g.id desc limit $8`,
        [
          filter.orgId,
          filter.scope,
          filter.scopeId,
          filter.seenBy?.projectId ?? null,
          filter.seenBy?.apiKeyId ?? null,
          filter.ended,
          filter.before,
          filter.limit,
        ],
      )
      return await states(rows)
    },
  }
}
