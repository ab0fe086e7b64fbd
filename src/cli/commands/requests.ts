import type { Query } from '../../client/index.ts'
import type { Receipt, RunView } from '../../contract/index.ts'
import { type Command, type Flags, oneOf, textFlag } from '../command.ts'
import { receiptPage } from '../receipt-page.ts'
import { listText, pairs, table } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const receipt: Command = {
  words: ['receipt'],
  summary: 'Shows one receipt: what was asked, decided, tried, used and charged',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge receipt req_… --lang zh',
  async run({ args, client, language }) {
    const value = await (await client()).getReceipt(args[0] ?? '')
    return { value, text: receiptPage(value, language) }
  },
}

function receiptRow(one: Receipt): string[] {
  const charged = one.charge === null ? '-' : `${one.charge.total} ${one.charge.currency}`
  return [
    one.id,
    one.created_at,
    one.status,
    one.catalog_model ?? one.requested_model ?? '-',
    one.decision?.route ?? '-',
    one.charge?.bucket ?? one.decision?.bucket ?? '-',
    charged,
  ]
}

const FILTERS = [
  'org',
  'project',
  'key',
  'run',
  'status',
  'bucket',
  'model',
  'route',
  'channel',
  'min-charge',
  'since',
  'until',
] as const
const MARKS = ['fallback', 'crossed-balance'] as const
const FILTER_OPTIONS = {
  ...Object.fromEntries(FILTERS.map((name) => [name, { type: 'string' as const }])),
  ...Object.fromEntries(MARKS.map((name) => [name, { type: 'boolean' as const }])),
}
const FILTER_EXPLAIN = {
  org: 'only those of this organization',
  project: 'only those of this project',
  key: 'only those of this API key',
  run: 'only those of this run',
  status: 'completed, failed, refused, cancelled, recovered, replayed',
  bucket: 'only those paid from this bucket',
  model: 'only those of this model',
  route: 'only those of this route',
  channel: 'only those that tried this channel (for operators)',
  'min-charge': 'only those that cost at least this; needs --bucket',
  fallback: 'only those that another channel than the first answered',
  'crossed-balance': 'only those paid from another balance than the first choice',
  since: 'RFC 3339',
  until: 'RFC 3339, not included',
}

function filterQuery(flags: Flags): Query {
  const { org, ...rest } = Object.fromEntries(FILTERS.map((name) => [name, textFlag(flags, name)]))
  const marks = MARKS.map((name) => [name, flags[name] === true ? 'true' : undefined])
  const named = Object.entries({ ...rest, ...Object.fromEntries(marks) })
  return {
    organization: org,
    ...Object.fromEntries(named.map(([name, value]) => [name.replaceAll('-', '_'), value])),
  }
}

const receiptList: Command = {
  words: ['receipt', 'list'],
  summary: 'Lists receipts, newest first',
  args: [],
  options: { ...FILTER_OPTIONS, ...PAGE_OPTIONS },
  explain: { ...FILTER_EXPLAIN, ...PAGE_EXPLAIN },
  example: 'forge receipt list --project prj_… --status failed',
  async run({ flags, client }) {
    const value = await (await client()).listReceipts({ ...filterQuery(flags), ...pageQuery(flags) })
    const head = ['id', 'time', 'status', 'model', 'route', 'bucket', 'charge']
    return { value, text: listText(head, value.data.map(receiptRow), value.next_cursor) }
  },
}

const receiptExport: Command = {
  words: ['receipt', 'export'],
  summary: 'Writes all receipts that the filters leave, as JSON lines or CSV',
  args: [],
  options: { ...FILTER_OPTIONS, format: { type: 'string' } },
  explain: { ...FILTER_EXPLAIN, format: 'jsonl or csv (jsonl)' },
  example: 'forge receipt export --org org_… --since 2026-03-01T00:00:00Z --format csv > march.csv',
  async run({ flags, client }) {
    const format = oneOf('format', ['jsonl', 'csv'], textFlag(flags, 'format'))
    const value = await (await client()).exportReceipts({ ...filterQuery(flags), format })
    return { value, text: value.replaceAll('\r\n', '\n').trimEnd() }
  },
}

function totalRows(name: string, totals: RunView['totals']): string[][] {
  return Object.entries(totals).map(([bucket, total]) => [
    name,
    bucket,
    `${total.charged} ${total.currency}`,
    `${total.held} ${total.currency}`,
    String(total.requests),
  ])
}

const runShow: Command = {
  words: ['run', 'show'],
  summary: 'Shows what a run cost, per bucket and per step',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge run show run_…',
  async run({ args, client }) {
    const value = await (await client()).getRun(args[0] ?? '')
    const rows = [
      ...totalRows('(all)', value.totals),
      ...value.steps.flatMap((step) => totalRows(step.name ?? '(no step)', step.totals)),
    ]
    const head = pairs([
      ['run', `${value.name} (${value.id})`],
      ['status', value.status],
      ['begun', value.created_at],
      ...Object.entries(value.budget ?? {}).map(
        ([bucket, { amount, used, held, currency }]): [string, string] => [
          `budget ${bucket}`,
          `${amount} ${currency} (${used} used, ${held} held)`,
        ],
      ),
    ])
    const body =
      rows.length === 0
        ? 'Nothing was charged.'
        : table(['step', 'bucket', 'charged', 'held', 'requests'], rows)
    return { value, text: `${head}\n\n${body}` }
  },
}

const runList: Command = {
  words: ['run', 'list'],
  summary: 'Lists runs, newest first',
  args: [],
  options: { org: { type: 'string' }, project: { type: 'string' }, ...PAGE_OPTIONS },
  explain: { org: 'only those of this organization', project: 'only those of this project', ...PAGE_EXPLAIN },
  example: 'forge run list --project prj_…',
  async run({ flags, client }) {
    const scope = { organization: textFlag(flags, 'org'), project: textFlag(flags, 'project') }
    const value = await (await client()).listRuns({ ...scope, ...pageQuery(flags) })
    const rows = value.data.map((run) => [run.id, run.name, run.status, run.created_at])
    return { value, text: listText(['id', 'name', 'status', 'begun'], rows, value.next_cursor) }
  },
}

export const REQUEST_COMMANDS: readonly Command[] = [receipt, receiptList, receiptExport, runShow, runList]
