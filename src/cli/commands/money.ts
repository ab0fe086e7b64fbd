import type { BucketBalance, PriceView } from '../../contract/index.ts'
import { type Command, givenFlag, textFlag } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { listText, pairs, table } from '../text.ts'

function bucketRows(buckets: Readonly<Record<string, BucketBalance>>): string[][] {
  return Object.entries(buckets).map(([id, bucket]) => [
    id,
    bucket.name,
    bucket.currency,
    bucket.available,
    bucket.held,
    bucket.posted,
    String(bucket.open_holds),
  ])
}

const walletShow: Command = {
  words: ['wallet', 'show'],
  summary: 'Shows the balances of an organization, one a bucket',
  args: [],
  options: { org: { type: 'string' } },
  required: ['org'],
  explain: { org: 'the organization (org_…)' },
  example: 'forge wallet show --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).getBalances({ organization: givenFlag(flags, 'org') })
    const head = ['bucket', 'name', 'currency', 'available', 'held', 'posted', 'open holds']
    return { value, text: table(head, bucketRows(value.buckets)) }
  },
}

const walletGrant: Command = {
  words: ['wallet', 'grant'],
  summary: 'Adds free money to a bucket of an organization',
  args: [],
  options: {
    org: { type: 'string' },
    bucket: { type: 'string' },
    amount: { type: 'string' },
    reason: { type: 'string' },
    'expires-at': { type: 'string' },
    id: { type: 'string' },
  },
  required: ['org', 'bucket', 'amount', 'reason'],
  explain: {
    org: 'the organization (org_…)',
    bucket: 'credit, rmb or another configured one',
    amount: 'a decimal in the currency of the bucket',
    reason: 'kept in the ledger',
    'expires-at': 'when what is unspent is taken back (RFC 3339)',
    id: 'a UUID; a repeat with the same one adds once',
  },
  example: 'forge wallet grant --org org_… --bucket credit --amount 10.00 --reason "first try"',
  async run({ flags, client, settings }) {
    const expiresAt = textFlag(flags, 'expires-at')
    const value = await (await client()).createGrant({
      organization: givenFlag(flags, 'org'),
      bucket: givenFlag(flags, 'bucket'),
      amount: givenFlag(flags, 'amount'),
      reason: givenFlag(flags, 'reason'),
      id: textFlag(flags, 'id') ?? settings.newId(),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    })
    const text = pairs([
      [
        'added',
        `${value.amount} ${value.currency} to ${value.bucket}${value.repeated ? ' (before; not again)' : ''}`,
      ],
      ['available', `${value.balance.available} ${value.currency}`],
      ['id', value.id],
    ])
    return { value, text }
  },
}

function unit(price: PriceView | null, meter: string): string {
  const written = price?.rates[meter]
  if (written === undefined) return '-'
  return typeof written === 'string' ? written : `${written.price}/${written.per}`
}

const models: Command = {
  words: ['models'],
  summary: 'Lists models, their routes, prices and balances',
  args: [],
  options: {},
  explain: {},
  example: 'forge models',
  async run({ client }) {
    const value = await (await client()).listModels()
    const rows = value.data.flatMap((model) =>
      model.routes.map((route) => [
        model.name,
        route.route,
        route.bucket,
        route.currency,
        unit(route.price, 'input'),
        unit(route.price, 'cache_read'),
        unit(route.price, 'output'),
        route.callable ? (route.sandbox ? 'yes (sandbox)' : 'yes') : `no: ${route.reason ?? ''}`,
      ]),
    )
    const head = ['model', 'route', 'bucket', 'currency', 'input', 'cache read', 'output', 'callable']
    return { value, text: listText(head, rows, value.next_cursor), notes: ['Prices per 1,000,000 tokens.'] }
  },
}

const audit: Command = {
  words: ['audit'],
  summary: 'Checks every invariant of the ledger; exits 6 when one is broken',
  args: [],
  options: {},
  explain: {},
  example: 'forge audit',
  async run({ client }) {
    const value = await (await client()).getAudit()
    const rows = value.checks.map((check) => [
      check.ok ? 'ok' : 'BROKEN',
      check.name,
      check.ok ? '' : check.detail,
    ])
    return {
      value,
      text: table(['', 'invariant', 'detail'], rows),
      exit: value.ok ? EXIT.ok : EXIT.integrity,
    }
  },
}

export const MONEY_COMMANDS: readonly Command[] = [walletShow, walletGrant, models, audit]
