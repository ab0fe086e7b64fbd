import type { Client } from '../../client/index.ts'
import {
  type ApiKeyChange,
  type ApiKeyPage,
  type ApiKeyView,
  KEY_STATES,
  type KeyAccess,
  POLICIES,
  type Policy,
} from '../../contract/index.ts'
import { errorText } from '../../kernel/index.ts'
import { type Command, type Flags, givenFlag, listFlag, textFlag, UsageError } from '../command.ts'
import { nearestWord } from '../nearest.ts'
import { listText, pairs, table } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const TERM_OPTIONS = {
  label: { type: 'string' },
  policy: { type: 'string' },
  'allow-cross-balance': { type: 'boolean' },
  models: { type: 'string' },
  routes: { type: 'string' },
  buckets: { type: 'string' },
  'max-charge': { type: 'string' },
  networks: { type: 'string' },
  'max-attempts': { type: 'string' },
  'expires-at': { type: 'string' },
} as const

const TERM_EXPLAIN = {
  label: 'what people call it',
  policy: `how it chooses a route: ${POLICIES.join(', ')}`,
  'allow-cross-balance': 'a fallback may be paid from another balance',
  models: 'only these, separated by commas',
  routes: 'only these route names or types, separated by commas',
  buckets: 'only these balances may pay, separated by commas',
  'max-charge': 'the most one request may cost, by bucket: credit=0.50,rmb=3',
  networks: 'only from these addresses or CIDR networks, separated by commas',
  'max-attempts': 'upstream calls a request may make, 1 to 20',
  'expires-at': 'RFC 3339, e.g. 2030-01-31T00:00:00Z',
} as const

function policyFlag(flags: Flags): Policy | undefined {
  const text = textFlag(flags, 'policy')
  const policy = POLICIES.find((known) => known === text)
  if (text !== undefined && policy === undefined)
    throw new UsageError(`--policy must be one of ${POLICIES.join(', ')}`)
  return policy
}

function chargesFlag(flags: Flags): Record<string, string> | undefined {
  const items = listFlag(flags, 'max-charge')?.map((item) => item.split('='))
  if (items?.some((parts) => parts.length !== 2 || parts.includes('')))
    throw new UsageError('--max-charge is written bucket=amount, like credit=0.50,rmb=3')
  return items === undefined ? undefined : Object.fromEntries(items)
}

function attemptsFlag(flags: Flags): number | undefined {
  const text = textFlag(flags, 'max-attempts')
  if (text !== undefined && !/^\d{1,2}$/.test(text))
    throw new UsageError('--max-attempts is a number, 1 to 20')
  return text === undefined ? undefined : Number.parseInt(text, 10)
}

/** `--models all` lifts a limit again; on a new key it is what leaving it out is. */
function limitFlag<T>(flags: Flags, name: string, read: () => T): T | null {
  return textFlag(flags, name) === 'all' ? null : read()
}

/** What was given and nothing else. */
function termFlags(flags: Flags): Omit<ApiKeyChange, 'state'> {
  const given = {
    label: textFlag(flags, 'label'),
    policy: policyFlag(flags),
    allow_cross_balance: flags['allow-cross-balance'] === true ? true : undefined,
    models: limitFlag(flags, 'models', () => listFlag(flags, 'models')),
    routes: limitFlag(flags, 'routes', () => listFlag(flags, 'routes')),
    buckets: limitFlag(flags, 'buckets', () => listFlag(flags, 'buckets')),
    max_charge: limitFlag(flags, 'max-charge', () => chargesFlag(flags)),
    allowed_networks: limitFlag(flags, 'networks', () => listFlag(flags, 'networks')),
    max_attempts: attemptsFlag(flags),
    expires_at: textFlag(flags, 'expires-at') === 'never' ? null : textFlag(flags, 'expires-at'),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

const listed = (names: readonly string[] | null): string => names?.join(', ') ?? 'all'

function keyRows(key: ApiKeyView): [string, string][] {
  const charges = Object.entries(key.max_charge ?? {}).map(([bucket, amount]) => `${amount} of ${bucket}`)
  return [
    ['id', key.id],
    ['label', key.label],
    ['project', key.project],
    ['state', key.state],
    ['policy', key.policy],
    ['models', listed(key.models)],
    ['routes', listed(key.routes)],
    ['buckets', listed(key.buckets)],
    ['most a request may cost', charges.length === 0 ? 'no limit' : charges.join(', ')],
    ['from', key.allowed_networks?.join(', ') ?? 'anywhere'],
    ['may cross balances', key.allow_cross_balance ? 'yes' : 'no'],
    ['expires', key.expires_at ?? 'never'],
    ['last used', key.last_used_at ?? 'never'],
    ...key.secrets.map(({ id, prefix, state, ends_at }): [string, string] => [
      `secret ${prefix}…`,
      `${state}${ends_at === null ? '' : ` ${ends_at}`} (${id})`,
    ]),
  ]
}

function pageRows(key: ApiKeyPage): [string, string][] {
  const spend = Object.entries(key.spend).map(
    ([bucket, { charged, currency, requests }]) =>
      `${charged} ${currency} of ${bucket} in ${requests} requests`,
  )
  const { requests, failed, refused, cancelled } = key.last_24_hours
  return [
    ...keyRows(key),
    ['spent so far', spend.length === 0 ? 'nothing' : spend.join('; ')],
    ['last 24 hours', `${requests} requests, ${failed} failed, ${refused} refused, ${cancelled} cancelled`],
  ]
}

function accessText({ reason, models }: KeyAccess): string {
  const rows = models.flatMap((model) =>
    model.routes.map((route) => [
      model.name,
      route.route,
      route.bucket,
      `${route.available ?? '-'} ${route.currency}`,
      route.callable
        ? route.affordable === false
          ? 'no: the balance is too small'
          : 'yes'
        : `no: ${route.reason ?? ''}`,
    ]),
  )
  return `${reason === null ? '' : `${reason}\n`}${table(['model', 'route', 'bucket', 'available', 'callable'], rows)}`
}

const SHOWN_ONCE = 'The key is shown this once; only its hash is kept.'

const keyCreate: Command = {
  words: ['key', 'create'],
  summary: 'Makes an API key; its secret is shown this once',
  args: [],
  options: { project: { type: 'string' }, ...TERM_OPTIONS },
  required: ['project'],
  explain: { project: 'the project it belongs to (prj_…)', ...TERM_EXPLAIN },
  example: 'forge key create --project prj_… --label laptop --models gpt-5-mini --routes official',
  async run({ flags, client }) {
    const api = await client()
    const value = await api.createKey({ project: givenFlag(flags, 'project'), ...termFlags(flags) })
    const unknown = await unknownNames(api, listFlag(flags, 'models') ?? [], listFlag(flags, 'routes') ?? [])
    return { value, text: pairs([['key', value.key], ...keyRows(value)]), notes: [SHOWN_ONCE, ...unknown] }
  },
}

function unlike(what: string, names: readonly string[], known: readonly string[]): string[] {
  return names
    .filter((name) => !known.includes(name))
    .map((name) => {
      const nearest = nearestWord(name, known)
      const meant = nearest === null ? '' : `; did you mean ${nearest}?`
      return `There is no ${what} ${name} in the catalog now${meant} The key was made all the same.`
    })
}

/** A catalog may get its models later, so this is no reason to refuse; whoever mistyped shall see it at once. */
async function unknownNames(
  api: Client,
  models: readonly string[],
  routes: readonly string[],
): Promise<readonly string[]> {
  if (models.length + routes.length === 0) return []
  try {
    const { data } = await api.listModels()
    const served = data.flatMap((model) => model.routes)
    const known = [...new Set(served.flatMap(({ route, route_type }) => [route, route_type]))]
    return [
      ...unlike(
        'model',
        models,
        data.map(({ name }) => name),
      ),
      ...unlike('route', routes, known),
    ]
  } catch (thrown) {
    // The key is made and its secret is shown this once, whatever comes of the advice.
    return [`Whether its models and routes are in the catalog could not be seen: ${errorText(thrown)}`]
  }
}

const keyUpdate: Command = {
  words: ['key', 'update'],
  summary: 'Changes what an API key may do, everywhere at once',
  args: ['ID'],
  options: TERM_OPTIONS,
  explain: {
    ...TERM_EXPLAIN,
    models: 'only these, separated by commas; all lifts this and the other limits',
  },
  example: 'forge key update key_… --max-charge credit=0.50 --networks 203.0.113.0/24',
  async run({ args, flags, client }) {
    const value = await (await client()).changeKey(args[0] ?? '', termFlags(flags))
    return { value, text: pairs(keyRows(value)) }
  },
}

const keyShow: Command = {
  words: ['key', 'show'],
  summary: 'Shows an API key: what it may do and call, what it spent, how its last day went',
  args: ['ID'],
  options: { access: { type: 'boolean' } },
  explain: { access: 'every model and route: whether it can be called now, and from which balance' },
  example: 'forge key show key_… --access',
  async run({ args, flags, client }) {
    const api = await client()
    const id = args[0] ?? ''
    if (flags['access'] === true) {
      const value = await api.getKeyAccess(id)
      return { value, text: accessText(value) }
    }
    const value = await api.getKey(id)
    return { value, text: pairs(pageRows(value)) }
  },
}

const keyRotate: Command = {
  words: ['key', 'rotate'],
  summary: 'Gives an API key a new secret, shown this once; the old one is good until the overlap ends',
  args: ['ID'],
  options: { 'overlap-seconds': { type: 'string' } },
  explain: { 'overlap-seconds': 'how long the old secret stays good (86400, a day); 0 ends it now' },
  example: 'forge key rotate key_… --overlap-seconds 3600',
  async run({ args, flags, client }) {
    const text = textFlag(flags, 'overlap-seconds') ?? '86400'
    if (!/^\d{1,7}$/.test(text)) throw new UsageError('--overlap-seconds is a whole number of seconds')
    const overlap = Number.parseInt(text, 10)
    const value = await (await client()).rotateKey(args[0] ?? '', { overlap_seconds: overlap })
    return { value, text: pairs([['key', value.key], ...keyRows(value)]), notes: [SHOWN_ONCE] }
  },
}

const keyRevoke: Command = {
  words: ['key', 'revoke'],
  summary: 'Ends an API key for ever, or one of its secrets',
  args: ['ID'],
  options: { secret: { type: 'string' } },
  explain: { secret: 'only this secret of it (sec_…, see forge key show)' },
  example: 'forge key revoke key_…',
  async run({ args, flags, client }) {
    const api = await client()
    const secret = textFlag(flags, 'secret')
    const id = args[0] ?? ''
    const value = secret === undefined ? await api.revokeKey(id) : await api.revokeSecret(id, secret)
    return { value, text: pairs(keyRows(value)) }
  },
}

const keyList: Command = {
  words: ['key', 'list'],
  summary: 'Lists API keys, newest first, without their secrets',
  args: [],
  options: {
    org: { type: 'string' },
    project: { type: 'string' },
    state: { type: 'string' },
    prefix: { type: 'string' },
    ...PAGE_OPTIONS,
  },
  explain: {
    org: 'only those of this organization',
    project: 'only those of this project',
    state: `only those that are ${KEY_STATES.join(', ')}`,
    prefix: 'the first ten characters of a secret that was found somewhere',
    ...PAGE_EXPLAIN,
  },
  example: 'forge key list --project prj_…',
  async run({ flags, client }) {
    const value = await (await client()).listKeys({
      organization: textFlag(flags, 'org'),
      project: textFlag(flags, 'project'),
      state: textFlag(flags, 'state'),
      prefix: textFlag(flags, 'prefix'),
      ...pageQuery(flags),
    })
    const rows = value.data.map((key) => [
      key.id,
      `${key.prefix}…`,
      key.label,
      key.state,
      key.policy,
      key.last_used_at ?? 'never',
    ])
    return {
      value,
      text: listText(['id', 'key', 'label', 'state', 'policy', 'last used'], rows, value.next_cursor),
    }
  },
}

function stateCommand(word: 'pause' | 'resume', summary: string): Command {
  return {
    words: ['key', word],
    summary,
    args: ['ID'],
    options: {},
    explain: {},
    example: `forge key ${word} key_…`,
    async run({ args, client }) {
      const api = await client()
      const id = args[0] ?? ''
      const value = word === 'pause' ? await api.pauseKey(id) : await api.resumeKey(id)
      return { value, text: pairs(keyRows(value)) }
    },
  }
}

export const KEY_COMMANDS: readonly Command[] = [
  keyCreate,
  keyList,
  keyShow,
  keyUpdate,
  keyRotate,
  stateCommand('pause', 'Refuses requests of an API key until it is resumed'),
  stateCommand('resume', 'Lets a paused API key be used again'),
  keyRevoke,
]
