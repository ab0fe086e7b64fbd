import { DELIVERY_STATES, EVENT_TYPES, type NewWebhook, type WebhookView } from '../../contract/index.ts'
import { type Command, givenFlag, listFlag, textFlag } from '../command.ts'
import { listText, pairs } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

function webhookText(webhook: WebhookView): string {
  return pairs([
    ['id', webhook.id],
    ['url', webhook.url],
    ['types', webhook.types.join(', ')],
    ['project', webhook.project ?? 'every one'],
    ['state', webhook.state],
    ...(webhook.failing_since === null ? [] : [['failing since', webhook.failing_since] as [string, string]]),
  ])
}

const create: Command = {
  words: ['webhook', 'create'],
  summary: 'Tells an endpoint of events; shows its secret this once',
  args: ['URL'],
  options: {
    org: { type: 'string' },
    types: { type: 'string' },
    project: { type: 'string' },
    description: { type: 'string' },
    emails: { type: 'string' },
  },
  required: ['org', 'types'],
  explain: {
    org: 'the organization (org_…)',
    types: `separated by commas: ${EVENT_TYPES.join(', ')}`,
    project: 'only what happens in this project (prj_…)',
    description: 'for people',
    emails: 'who is told when it is disabled, separated by commas',
  },
  example: 'forge webhook create https://example.com/hook --org org_… --types budget.reached,key.exposed',
  async run({ args, flags, client }) {
    const [project, description, emails] = [
      textFlag(flags, 'project'),
      textFlag(flags, 'description'),
      listFlag(flags, 'emails'),
    ]
    const body = {
      organization: givenFlag(flags, 'org'),
      url: args[0] ?? '',
      types: listFlag(flags, 'types') ?? [],
      ...(project === undefined ? {} : { project }),
      ...(description === undefined ? {} : { description }),
      ...(emails === undefined ? {} : { emails }),
    }
    // The server knows the types, and names the nearest.
    const value = await (await client()).createWebhook(body as NewWebhook)
    return { value, text: `${webhookText(value)}\nsecret  ${value.secret}  (shown this once)` }
  },
}

const list: Command = {
  words: ['webhook', 'list'],
  summary: 'Lists webhook endpoints, newest first',
  args: [],
  options: { org: { type: 'string' }, ended: { type: 'boolean' }, ...PAGE_OPTIONS },
  explain: { org: 'only those of this organization', ended: 'also those that were ended', ...PAGE_EXPLAIN },
  example: 'forge webhook list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listWebhooks({
      organization: textFlag(flags, 'org'),
      ended: flags['ended'] === true ? 'true' : undefined,
      ...pageQuery(flags),
    })
    const rows = value.data.map(({ id, url, state, types }) => [id, state, url, types.join(' ')])
    return { value, text: listText(['id', 'state', 'url', 'types'], rows, value.next_cursor) }
  },
}

const test: Command = {
  words: ['webhook', 'test'],
  summary: 'Sends a webhook.test event to an endpoint',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge webhook test whk_…',
  async run({ args, client }) {
    const value = await (await client()).testWebhook(args[0] ?? '')
    return {
      value,
      text: `Queued ${value.id} (event ${value.event}). See: forge webhook deliveries ${args[0]}`,
    }
  },
}

const rotate: Command = {
  words: ['webhook', 'rotate'],
  summary: 'Gives a webhook a new secret, shown once; both sign until the overlap ends',
  args: ['ID'],
  options: { overlap: { type: 'string' } },
  explain: { overlap: 'seconds (86400)' },
  example: 'forge webhook rotate whk_… --overlap 3600',
  async run({ args, flags, client }) {
    const overlap = textFlag(flags, 'overlap')
    const body = overlap === undefined ? {} : { overlap_seconds: Number.parseInt(overlap, 10) }
    const value = await (await client()).rotateWebhook(args[0] ?? '', body)
    return { value, text: `${webhookText(value)}\nsecret  ${value.secret}  (shown this once)` }
  },
}

const state = (word: string, to: 'active' | 'paused', summary: string): Command => ({
  words: ['webhook', word],
  summary,
  args: ['ID'],
  options: {},
  explain: {},
  example: `forge webhook ${word} whk_…`,
  async run({ args, client }) {
    const value = await (await client()).changeWebhook(args[0] ?? '', { state: to })
    return { value, text: webhookText(value) }
  },
})

const end: Command = {
  words: ['webhook', 'end'],
  summary: 'Ends a webhook endpoint; what was delivered stays on record',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge webhook end whk_…',
  async run({ args, client }) {
    const value = await (await client()).endWebhook(args[0] ?? '')
    return { value, text: webhookText(value) }
  },
}

const deliveries: Command = {
  words: ['webhook', 'deliveries'],
  summary: 'Lists what was sent to an endpoint and what became of it, newest first',
  args: ['ID'],
  options: {
    state: { type: 'string' },
    type: { type: 'string' },
    since: { type: 'string' },
    ...PAGE_OPTIONS,
  },
  explain: {
    state: `only these: ${DELIVERY_STATES.join(', ')}`,
    type: 'only events of this type',
    since: 'RFC 3339',
    ...PAGE_EXPLAIN,
  },
  example: 'forge webhook deliveries whk_… --state failed',
  async run({ args, flags, client }) {
    const value = await (await client()).listDeliveries(args[0] ?? '', {
      state: textFlag(flags, 'state'),
      type: textFlag(flags, 'type'),
      since: textFlag(flags, 'since'),
      ...pageQuery(flags),
    })
    const rows = value.data.map((one) => [
      one.id,
      one.created_at,
      one.type,
      one.state,
      String(one.attempts),
      one.error ?? (one.status === null ? '' : String(one.status)),
      one.next_attempt_at ?? '',
    ])
    const head = ['id', 'made', 'type', 'state', 'attempts', 'last', 'next']
    return { value, text: listText(head, rows, value.next_cursor) }
  },
}

const replay: Command = {
  words: ['webhook', 'replay'],
  summary: 'Sends one delivery again, or all that failed since a time',
  args: ['ID'],
  options: { delivery: { type: 'string' }, since: { type: 'string' } },
  explain: { delivery: 'this one (dlv_…)', since: 'all that failed of those made since then, RFC 3339' },
  example: 'forge webhook replay whk_… --since 2026-12-01T00:00:00Z',
  async run({ args, flags, client }) {
    const [id = ''] = args
    const delivery = textFlag(flags, 'delivery')
    if (delivery !== undefined) {
      const value = await (await client()).replayDelivery(id, delivery)
      return { value, text: `Queued ${value.id} again.` }
    }
    const value = await (await client()).replayFailed(id, { since: givenFlag(flags, 'since') })
    return { value, text: `Queued ${value.replayed} again.` }
  },
}

export const WEBHOOK_COMMANDS: readonly Command[] = [
  create,
  list,
  test,
  rotate,
  state('pause', 'paused', 'Keeps what happens until the webhook is resumed'),
  state('resume', 'active', 'Delivers again, also to an endpoint that was disabled'),
  end,
  deliveries,
  replay,
]
