import { conditions, type Database, instant } from '../db/index.ts'
import { type IdSource, parseId, type Uuid } from '../kernel/index.ts'
import { cleanName } from './names.ts'
import type { Page, Run } from './records.ts'

export interface RunRef {
  readonly id: Uuid
  readonly name: string
}

export interface RunQuery {
  readonly orgId: Uuid
  readonly projectId: Uuid
  /** `run_…` for a run that exists, any other text for a run of that name, which is made when it does not exist. */
  readonly nameOrId: string
}

export interface RunBook {
  /** @returns null when the id is not a run of this project, or nothing usable is left of the name. */
  open(query: RunQuery): RunRef | null | Promise<RunRef | null>
  get(id: Uuid): Promise<Run | null>
  list(query: RunFilter): Promise<readonly Run[]>
}

export interface RunFilter extends Page {
  readonly orgId: Uuid | null
  readonly projectId: Uuid | null
  /** How the name begins. */
  readonly namePrefix?: string | null
  readonly sinceMs?: number | null
  readonly untilMs?: number | null
}

const REMEMBERED_MAX = 10_000

interface RunRow {
  readonly id: string
  readonly org_id: string
  readonly project_id: string
  readonly name: string
  readonly created_at: Date
}

const COLUMNS = 'id, org_id, project_id, name, created_at'

function runOf(row: RunRow): Run {
  return {
    id: row.id,
    orgId: row.org_id,
    projectId: row.project_id,
    name: row.name,
    createdAtMs: row.created_at.getTime(),
  }
}

export function createRunBook(database: Database, ids: IdSource): RunBook {
  // Runs are never renamed nor moved, so what is remembered stays true; the oldest use is forgotten first.
  const remembered = new Map<string, RunRef>()

  function recall(place: string): RunRef | undefined {
    const run = remembered.get(place)
    if (run === undefined) return undefined
    remembered.delete(place)
    remembered.set(place, run)
    return run
  }

  function remember(place: string, run: RunRef): RunRef {
    if (remembered.size >= REMEMBERED_MAX) {
      const oldest = remembered.keys().next()
      if (oldest.done !== true) remembered.delete(oldest.value)
    }
    remembered.set(place, run)
    return run
  }

  async function byId(query: RunQuery, id: Uuid, place: string): Promise<RunRef | null> {
    const row = await database.maybeOne<RunRef>(
      'select id, name from tenancy.run where org_id = $1 and project_id = $2 and id = $3',
      [query.orgId, query.projectId, id],
    )
    return row === null ? null : remember(place, Object.freeze({ id: row.id, name: row.name }))
  }

  async function byName(query: RunQuery, name: string, place: string): Promise<RunRef | null> {
    const values = [query.orgId, query.projectId, name]
    const find = 'select id, name from tenancy.run where org_id = $1 and project_id = $2 and name = $3'
    const found =
      (await database.maybeOne<RunRef>(find, values)) ??
      (await database.maybeOne<RunRef>(
        `insert into tenancy.run (org_id, project_id, name, id) values ($1, $2, $3, $4)
         on conflict (project_id, name) do nothing returning id, name`,
        [...values, ids.uuid()],
      )) ??
      // Another process made it between the two: it is there now.
      (await database.maybeOne<RunRef>(find, values))
    return found === null ? null : remember(place, Object.freeze({ id: found.id, name: found.name }))
  }

  return {
    open(query) {
      const place = `${query.projectId}/${query.nameOrId}`
      const run = recall(place)
      if (run !== undefined) return run
      if (query.nameOrId.startsWith('run_')) {
        const id = parseId('run', query.nameOrId)
        return id === null ? null : byId(query, id, place)
      }
      const name = cleanName(query.nameOrId)
      return name === null ? null : byName(query, name, place)
    },
    async get(id) {
      const row = await database.maybeOne<RunRow>(`select ${COLUMNS} from tenancy.run where id = $1`, [id])
      return row === null ? null : runOf(row)
    },
    async list(query) {
      const { where, values } = conditions([
        ['org_id =', query.orgId],
        ['project_id =', query.projectId],
        ['name ^@', query.namePrefix ?? null],
        ['created_at >=', instant(query.sinceMs ?? null)],
        ['created_at <', instant(query.untilMs ?? null)],
        ['id <', query.before],
      ])
      const rows = await database.query<RunRow>(
        `select ${COLUMNS} from tenancy.run ${where} order by id desc limit $${values.length + 1}`,
        [...values, query.limit],
      )
      return rows.map(runOf)
    },
  }
}
