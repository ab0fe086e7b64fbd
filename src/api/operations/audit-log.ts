import { z } from 'zod'
import {
  type AuditEventView,
  auditEventSchema,
  auditExportQuery,
  auditQuery,
  listOf,
} from '../../contract/index.ts'
import { isUuid, parseId, type Uuid } from '../../kernel/index.ts'
import type { EventFilter } from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { type Columns, exported } from '../export.ts'
import { type Caller, operation } from '../operation.ts'
import { idOf, instantOf, notFound, numberCursor, numberedPage, scopeOf } from '../scope.ts'
import { auditEventView } from '../views.ts'
import { viewOf } from './list-receipts.ts'

const EXPORT_PAGE = 1_000

const OBJECTS = ['org', 'prj', 'key', 'usr', 'inv', 'bud', 'rl', 'whk', 'alr'] as const

function objectOf(text: string): Uuid {
  for (const prefix of OBJECTS) {
    const id = parseId(prefix, text)
    if (id !== null) return id
  }
  if (isUuid(text)) return text
  throw notFound()
}

type Asked = Omit<z.output<typeof auditExportQuery>, 'format'>

function actorIdOf({ key, person }: Asked): Uuid | null {
  if (key !== undefined) return idOf('key', key)
  return person === undefined ? null : idOf('usr', person)
}

async function filterOf(
  deps: ApiDeps,
  caller: Caller,
  asked: Asked,
): Promise<Omit<EventFilter, 'before' | 'limit'>> {
  const { orgId } = await scopeOf(deps, caller, { organization: asked.organization })
  return {
    orgId,
    actorKind: asked.actor ?? null,
    actorId: actorIdOf(asked),
    action: asked.action ?? null,
    objectId: asked.object === undefined ? null : objectOf(asked.object),
    sinceMs: instantOf(asked.since),
    untilMs: instantOf(asked.until),
  }
}

export const listAuditEvents = operation({
  id: 'listAuditEvents',
  method: 'GET',
  path: '/api/v1/audit',
  summary: 'Who changed what, newest first; nothing of it can be changed afterwards',
  callers: ['operator'],
  permission: 'audit.read',
  params: z.strictObject({}),
  query: auditQuery,
  body: null,
  response: listOf(auditEventSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const { limit, cursor, ...asked } = query
    const before = numberCursor(cursor)
    const filter = await filterOf(deps, caller, asked)
    const events = await deps.tenancy.listEvents({ ...filter, before, limit: limit + 1 })
    return numberedPage(events, limit, (event) => auditEventView(event, viewOf(caller)))
  },
})

const COLUMNS: Columns<AuditEventView> = [
  ['id', (event) => event.id],
  ['at', (event) => event.at],
  ['organization', (event) => event.organization ?? ''],
  ['actor', (event) => event.actor.kind],
  ['actor_id', (event) => event.actor.id ?? ''],
  ['action', (event) => event.action],
  ['object', (event) => event.object.kind],
  ['object_id', (event) => event.object.id],
  ['before', (event) => (event.before === null ? '' : JSON.stringify(event.before))],
  ['after', (event) => (event.after === null ? '' : JSON.stringify(event.after))],
  ['request_id', (event) => event.request_id ?? ''],
  ['address', (event) => event.address ?? ''],
]

async function* pagesOf(
  deps: ApiDeps,
  filter: Omit<EventFilter, 'before' | 'limit'>,
  view: ReturnType<typeof viewOf>,
): AsyncGenerator<readonly AuditEventView[]> {
  let before: bigint | null = null
  do {
    const events = await deps.tenancy.listEvents({ ...filter, before, limit: EXPORT_PAGE })
    yield events.map((event) => auditEventView(event, view))
    before = events.length < EXPORT_PAGE ? null : (events.at(-1)?.seq ?? null)
  } while (before !== null)
}

export const exportAuditEvents = operation({
  id: 'exportAuditEvents',
  method: 'GET',
  path: '/api/v1/audit/export',
  summary: 'The whole log, or what the filters leave of it, as JSON lines or CSV',
  callers: ['operator'],
  permission: 'audit.read',
  params: z.strictObject({}),
  query: auditExportQuery,
  body: null,
  response: z.string(),
  contentType: 'text/plain; charset=utf-8',
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const { format, ...asked } = query
    const pages = pagesOf(deps, await filterOf(deps, caller, asked), viewOf(caller))
    return await exported(pages, COLUMNS, format)
  },
})
