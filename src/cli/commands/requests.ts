import type { Receipt, RunView } from '../../contract/index.ts'
import { type Command, textFlag } from '../command.ts'
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

const FILTERS = ['org', 'project', 'key', 'run', 'status', 'bucket', 'model', 'since', 'until'] as const

const receiptList: Command = {
  words: ['receipt', 'list'],
  summary: 'Lists receipts, newest first',
  args: [],
  options: {
    ...Object.fromEntries(FILTERS.map((name) => [name, { type: 'string' as const }])),
    ...PAGE_OPTIONS,
  },
  explain: {
    org: 'only those of this organization',
    project: 'only those of this project',
    key: 'only those of this API key',
    run: 'only those of this run',
    status: 'completed, failed, refused, cancelled, recovered',
    bucket: 'only those paid from this bucket',
    model: 'only those of this model',
    since: 'RFC 3339',
    until: 'RFC 3339',
    ...PAGE_EXPLAIN,
  },
  example: 'forge receipt list --project prj_… --status failed',
  async run({ flags, client }) {
    const { org, ...rest } = Object.fromEntries(FILTERS.map((name) => [name, textFlag(flags, name)]))
    const value = await (await client()).listReceipts({ organization: org, ...rest, ...pageQuery(flags) })
    const head = ['id', 'time', 'status', 'model', 'route', 'bucket', 'charge']
    return { value, text: listText(head, value.data.map(receiptRow), value.next_cursor) }
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

export const REQUEST_COMMANDS: readonly Command[] = [receipt, receiptList, runShow, runList]
