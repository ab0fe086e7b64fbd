import { z } from 'zod'
import {
  FaultError,
  fault,
  listOf,
  type Receipt,
  receiptSchema,
  receiptsExportQuery,
  receiptsQuery,
} from '../../contract/index.ts'
import { type Nano, parseNano, type Uuid } from '../../kernel/index.ts'
import type { ApiDeps, ReceiptFilter, ReceiptScope } from '../deps.ts'
import { type Columns, exported } from '../export.ts'
import { type Caller, operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, idOf, instantOf, scopeOf } from '../scope.ts'

const EXPORT_PAGE = 500

export function viewOf(caller: Caller): ReceiptScope['view'] {
  return caller.kind === 'operator' ? 'operator' : 'customer'
}

type Asked = Omit<z.output<typeof receiptsExportQuery>, 'format'>

const yes = (text: 'true' | 'false' | undefined): boolean | null =>
  text === undefined ? null : text === 'true'

function leastOf({ min_charge: text, bucket }: Asked): Nano | null {
  if (text === undefined) return null
  const least = parseNano(text)
  if (least !== null && bucket !== undefined) return least
  const message =
    least === null ? 'is not a decimal string' : 'needs a bucket: amounts of two are not compared'
  throw new InvalidRequest('query', [{ field: 'min_charge', message }])
}

async function filterOf(
  deps: ApiDeps,
  caller: Caller,
  asked: Asked,
): Promise<Omit<ReceiptFilter, 'limit' | 'before'>> {
  if (asked.channel !== undefined && caller.kind !== 'operator')
    throw new FaultError(fault('forbidden', 'Channels are known by these names to operators only.'))
  const scope = await scopeOf(deps, caller, asked)
  return {
    ...scope,
    view: viewOf(caller),
    apiKeyId: asked.key === undefined ? null : idOf('key', asked.key),
    runId: asked.run === undefined ? null : idOf('run', asked.run),
    status: asked.status ?? null,
    bucket: asked.bucket ?? null,
    model: asked.model ?? null,
    route: asked.route ?? null,
    channel: asked.channel ?? null,
    fallback: yes(asked.fallback),
    crossed: yes(asked.crossed_balance),
    leastNano: leastOf(asked),
    sinceMs: instantOf(asked.since),
    untilMs: instantOf(asked.until),
  }
}

export const listReceipts = operation({
  id: 'listReceipts',
  method: 'GET',
  path: '/api/v1/receipts',
  summary: 'Receipts, newest first',
  callers: ['operator', 'key'],
  permission: 'receipts.read',
  params: z.strictObject({}),
  query: receiptsQuery,
  body: null,
  response: listOf(receiptSchema),
  faults: ['not_found', 'overloaded'],
  async run({ deps, caller, query }) {
    const { limit, cursor, ...asked } = query
    const filter = await filterOf(deps, caller, asked)
    const { data, nextCursor } = await deps.receipts.list({
      ...filter,
      limit,
      before: cursorOf('req', cursor),
    })
    return { data: [...data], next_cursor: nextCursor }
  },
})

async function* pagesOf(
  deps: ApiDeps,
  filter: Omit<ReceiptFilter, 'limit' | 'before'>,
): AsyncGenerator<readonly Receipt[]> {
  let before: Uuid | null = null
  do {
    const { data, nextCursor } = await deps.receipts.list({ ...filter, limit: EXPORT_PAGE, before })
    yield data
    before = cursorOf('req', nextCursor ?? undefined)
  } while (before !== null)
}

const shown = (value: string | number | boolean | null | undefined): string => String(value ?? '')

const COLUMNS: Columns<Receipt> = [
  ['id', (one) => one.id],
  ['created_at', (one) => one.created_at],
  ['finished_at', (one) => shown(one.finished_at)],
  ['status', (one) => one.status],
  ['organization', (one) => one.organization.id],
  ['project', (one) => one.project.id],
  ['project_name', (one) => one.project.name],
  ['key', (one) => one.api_key.id],
  ['key_name', (one) => one.api_key.label],
  ['run', (one) => shown(one.run?.id)],
  ['run_name', (one) => shown(one.run?.name)],
  ['step', (one) => shown(one.run?.step)],
  ['endpoint', (one) => one.endpoint],
  ['requested_model', (one) => shown(one.requested_model)],
  ['model', (one) => shown(one.catalog_model)],
  ['route', (one) => shown(one.decision?.route)],
  ['attempts', (one) => shown(one.attempts.length)],
  ['fallback', (one) => shown(one.fallback)],
  ['crossed_balance', (one) => shown(one.crossed_balance)],
  ['input_tokens', (one) => shown(one.usage?.input)],
  ['cache_read_tokens', (one) => shown(one.usage?.cache_read)],
  ['cache_write_5m_tokens', (one) => shown(one.usage?.cache_write_5m)],
  ['cache_write_1h_tokens', (one) => shown(one.usage?.cache_write_1h)],
  ['output_tokens', (one) => shown(one.usage?.output)],
  ['usage_source', (one) => shown(one.usage?.source)],
  ['bucket', (one) => shown(one.charge?.bucket)],
  ['currency', (one) => shown(one.charge?.currency)],
  ['charged', (one) => shown(one.charge?.total)],
  ['price_version', (one) => shown(one.charge?.price_version)],
  ['settlement', (one) => shown(one.settlement)],
  ['latency_ms', (one) => shown(one.latency_ms)],
  ['error', (one) => shown(one.error?.code)],
]

export const exportReceipts = operation({
  id: 'exportReceipts',
  method: 'GET',
  path: '/api/v1/receipts/export',
  summary: 'All receipts that the filters leave, as JSON lines or CSV, newest first',
  callers: ['operator', 'key'],
  permission: 'receipts.read',
  params: z.strictObject({}),
  query: receiptsExportQuery,
  body: null,
  response: z.string(),
  contentType: 'text/plain; charset=utf-8',
  faults: ['not_found', 'overloaded'],
  async run({ deps, caller, query }) {
    const { format, ...asked } = query
    return await exported(pagesOf(deps, await filterOf(deps, caller, asked)), COLUMNS, format)
  },
})
