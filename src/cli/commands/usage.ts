import type { ChannelView, PriceVersionView, UsageFigures, UsageRow } from '../../contract/index.ts'
import { type Command, oneOf, textFlag } from '../command.ts'
import { listText, table } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const FILTERS = ['project', 'key', 'run', 'model', 'route', 'bucket', 'status', 'since', 'until'] as const
const FIGURES = [
  'bucket',
  'requests',
  'failed',
  'refused',
  'cancelled',
  'input',
  'cached',
  'output',
  'charged',
]

function figures(row: UsageFigures): string[] {
  const { tokens } = row
  return [
    row.bucket ?? '-',
    String(row.requests),
    String(row.failed),
    String(row.refused),
    String(row.cancelled),
    ...[tokens?.input, tokens?.cache_read, tokens?.output].map((count) => String(count ?? '-')),
    row.currency === null ? row.charged : `${row.charged} ${row.currency}`,
  ]
}

function placeOf(row: UsageRow, dimension: string): string {
  const { [dimension as keyof UsageRow]: value, [`${dimension}_name` as keyof UsageRow]: name } = row
  return [value ?? '-', name].filter((part) => typeof part === 'string').join(' ')
}

const usage: Command = {
  words: ['usage'],
  summary: 'Adds up requests, tokens and charges of an organization, per bucket',
  args: [],
  options: {
    by: { type: 'string' },
    org: { type: 'string' },
    ...Object.fromEntries(FILTERS.map((name) => [name, { type: 'string' as const }])),
    ...PAGE_OPTIONS,
  },
  explain: {
    by: 'one or two of day, month, project, key, model, route, run, status (day)',
    org: 'the organization (org_…); with an API key, its own',
    project: 'only this project',
    key: 'only this API key',
    run: 'only this run',
    model: 'only this model',
    route: 'only this route',
    bucket: 'only this bucket',
    status: 'completed, failed, refused, cancelled, recovered, replayed',
    since: 'RFC 3339',
    until: 'RFC 3339, not included',
    ...PAGE_EXPLAIN,
    limit: 'rows, at most 1000 (100)',
  },
  example: 'forge usage --org org_… --by month,model --since 2026-01-01T00:00:00Z',
  async run({ flags, client }) {
    const filters = Object.fromEntries(FILTERS.map((name) => [name, textFlag(flags, name)]))
    const value = await (await client()).getUsage({
      organization: textFlag(flags, 'org'),
      group_by: textFlag(flags, 'by'),
      ...filters,
      ...pageQuery(flags),
    })
    const rows = value.data.map((row) => [
      ...value.group_by.map((dimension) => placeOf(row, dimension)),
      ...figures(row),
    ])
    const totals = value.totals.map((row) => [
      '(all)',
      ...value.group_by.slice(1).map(() => ''),
      ...figures(row),
    ])
    return {
      value,
      text: listText([...value.group_by, ...FIGURES], [...rows, ...totals], value.next_cursor),
      notes: [`Days and months of ${value.time_zone}. Buckets are never added together.`],
    }
  },
}

function channelRow(channel: ChannelView): string[] {
  return [
    channel.name,
    channel.public_name,
    channel.protocol,
    channel.host,
    channel.used_by.map(({ model, route, role }) => `${model}:${route} (${role})`).join(', ') || '-',
  ]
}

const channelList: Command = {
  words: ['channel', 'list'],
  summary: 'Lists channels, where they lead, and the routes that use them',
  args: [],
  options: PAGE_OPTIONS,
  explain: PAGE_EXPLAIN,
  example: 'forge channel list',
  async run({ flags, client }) {
    const value = await (await client()).listChannels(pageQuery(flags))
    const head = ['name', 'public name', 'protocol', 'host', 'used by']
    return { value, text: listText(head, value.data.map(channelRow), value.next_cursor) }
  },
}

const channelShow: Command = {
  words: ['channel', 'show'],
  summary: 'Shows a channel: protocol, host, time-outs, and what uses it',
  args: ['NAME'],
  options: {},
  explain: {},
  example: 'forge channel show relay-a',
  async run({ args, client }) {
    const value = await (await client()).getChannel(args[0] ?? '')
    const { timeouts } = value
    const rows = [
      ['public name', value.public_name],
      ['protocol', value.protocol],
      ['host', value.host],
      ['sandbox', value.sandbox ? 'yes' : 'no'],
      ['connect', `${timeouts.connect_ms} ms`],
      ['first token', `${timeouts.first_token_ms} ms`],
      ['idle', `${timeouts.idle_ms} ms`],
      ['total', `${timeouts.total_ms} ms`],
      ...value.used_by.map(({ model, route, role, upstream_model }) => [
        role,
        `${model}:${route} as ${upstream_model}`,
      ]),
    ]
    return { value, text: table(['channel', value.name], rows) }
  },
}

function priceRow(one: PriceVersionView): string[] {
  const rates = Object.entries(one.price.rates).map(([meter, unit]) =>
    typeof unit === 'string' ? `${meter} ${unit}` : `${meter} ${unit.price}/${unit.per}`,
  )
  return [one.id, one.model, one.route, one.state, one.effective_from ?? '-', one.currency, rates.join(', ')]
}

const priceList: Command = {
  words: ['price', 'list'],
  summary: 'Lists every price that was ever in force, and marks those that are',
  args: [],
  options: {
    model: { type: 'string' },
    route: { type: 'string' },
    state: { type: 'string' },
    ...PAGE_OPTIONS,
  },
  explain: {
    model: 'only of this model',
    route: 'only of this route',
    state: 'current, scheduled or past',
    ...PAGE_EXPLAIN,
  },
  example: 'forge price list --model gpt-5-mini --route official',
  async run({ flags, client }) {
    const value = await (await client()).listPrices({
      model: textFlag(flags, 'model'),
      route: textFlag(flags, 'route'),
      state: oneOf('state', ['current', 'scheduled', 'past'], textFlag(flags, 'state')),
      ...pageQuery(flags),
    })
    const head = ['id', 'model', 'route', 'state', 'from', 'currency', 'per 1,000,000 tokens']
    return { value, text: listText(head, value.data.map(priceRow), value.next_cursor) }
  },
}

export const USAGE_COMMANDS: readonly Command[] = [usage, channelList, channelShow, priceList]
