import type { ApiKeyView, NewApiKey } from '../../contract/index.ts'
import { POLICIES, type Policy } from '../../contract/index.ts'
import { type Command, type Flags, givenFlag, listFlag, textFlag, UsageError } from '../command.ts'
import { listText, pairs } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const orgCreate: Command = {
  words: ['org', 'create'],
  summary: 'Makes an organization',
  args: ['NAME'],
  options: { 'time-zone': { type: 'string' } },
  explain: { 'time-zone': 'IANA name in which its days and months are counted (UTC)' },
  example: 'forge org create "Acme Research" --time-zone Asia/Shanghai',
  async run({ args, flags, client }) {
    const timeZone = textFlag(flags, 'time-zone')
    const value = await (await client()).createOrganization({
      name: args[0] ?? '',
      ...(timeZone === undefined ? {} : { time_zone: timeZone }),
    })
    return { value, text: `${value.id}  ${value.name}` }
  },
}

const orgList: Command = {
  words: ['org', 'list'],
  summary: 'Lists organizations, newest first',
  args: [],
  options: PAGE_OPTIONS,
  explain: PAGE_EXPLAIN,
  example: 'forge org list',
  async run({ flags, client }) {
    const value = await (await client()).listOrganizations(pageQuery(flags))
    const rows = value.data.map((org) => [org.id, org.name, org.time_zone, org.created_at])
    return { value, text: listText(['id', 'name', 'time zone', 'created'], rows, value.next_cursor) }
  },
}

const projectCreate: Command = {
  words: ['project', 'create'],
  summary: 'Makes a project in an organization',
  args: ['NAME'],
  options: { org: { type: 'string' } },
  required: ['org'],
  explain: { org: 'the organization (org_…)' },
  example: 'forge project create "Nightly reports" --org org_…',
  async run({ args, flags, client }) {
    const value = await (await client()).createProject({
      organization: givenFlag(flags, 'org'),
      name: args[0] ?? '',
    })
    return { value, text: `${value.id}  ${value.name}` }
  },
}

const projectList: Command = {
  words: ['project', 'list'],
  summary: 'Lists projects, newest first',
  args: [],
  options: { org: { type: 'string' }, ...PAGE_OPTIONS },
  explain: { org: 'only those of this organization (org_…)', ...PAGE_EXPLAIN },
  example: 'forge project list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listProjects({
      organization: textFlag(flags, 'org'),
      ...pageQuery(flags),
    })
    const rows = value.data.map((project) => [
      project.id,
      project.name,
      project.organization,
      project.created_at,
    ])
    return { value, text: listText(['id', 'name', 'organization', 'created'], rows, value.next_cursor) }
  },
}

function policyFlag(flags: Flags): Policy | undefined {
  const text = textFlag(flags, 'policy')
  const policy = POLICIES.find((known) => known === text)
  if (text !== undefined && policy === undefined)
    throw new UsageError(`--policy must be one of ${POLICIES.join(', ')}`)
  return policy
}

function newKey(flags: Flags): NewApiKey {
  const label = textFlag(flags, 'label')
  const policy = policyFlag(flags)
  const models = listFlag(flags, 'models')
  const routes = listFlag(flags, 'routes')
  const expiresAt = textFlag(flags, 'expires-at')
  return {
    project: givenFlag(flags, 'project'),
    ...(label === undefined ? {} : { label }),
    ...(policy === undefined ? {} : { policy }),
    ...(flags['allow-cross-balance'] === true ? { allow_cross_balance: true } : {}),
    ...(models === undefined ? {} : { models }),
    ...(routes === undefined ? {} : { routes }),
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
  }
}

function keyText(key: ApiKeyView): [string, string][] {
  return [
    ['id', key.id],
    ['label', key.label],
    ['project', key.project],
    ['state', key.state],
    ['policy', key.policy],
    ['models', key.models?.join(', ') ?? 'all'],
    ['routes', key.routes?.join(', ') ?? 'all'],
    ['may cross balances', key.allow_cross_balance ? 'yes' : 'no'],
    ['expires', key.expires_at ?? 'never'],
  ]
}

const keyCreate: Command = {
  words: ['key', 'create'],
  summary: 'Makes an API key; its secret is shown this once',
  args: [],
  options: {
    project: { type: 'string' },
    label: { type: 'string' },
    policy: { type: 'string' },
    'allow-cross-balance': { type: 'boolean' },
    models: { type: 'string' },
    routes: { type: 'string' },
    'expires-at': { type: 'string' },
  },
  required: ['project'],
  explain: {
    project: 'the project it belongs to (prj_…)',
    label: 'what people call it',
    policy: `how it chooses a route: ${POLICIES.join(', ')}`,
    'allow-cross-balance': 'a fallback may be paid from another balance',
    models: 'only these, separated by commas',
    routes: 'only these route names or types, separated by commas',
    'expires-at': 'RFC 3339, e.g. 2030-01-31T00:00:00Z',
  },
  example: 'forge key create --project prj_… --label laptop --models gpt-5-mini --routes official',
  async run({ flags, client }) {
    const value = await (await client()).createKey(newKey(flags))
    const text = pairs([['key', value.key], ...keyText(value)])
    return { value, text, notes: ['The key is shown this once; only its hash is kept.'] }
  },
}

const keyList: Command = {
  words: ['key', 'list'],
  summary: 'Lists API keys, newest first, without their secrets',
  args: [],
  options: { org: { type: 'string' }, project: { type: 'string' }, ...PAGE_OPTIONS },
  explain: { org: 'only those of this organization', project: 'only those of this project', ...PAGE_EXPLAIN },
  example: 'forge key list --project prj_…',
  async run({ flags, client }) {
    const scope = { organization: textFlag(flags, 'org'), project: textFlag(flags, 'project') }
    const value = await (await client()).listKeys({ ...scope, ...pageQuery(flags) })
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

function stateCommand(word: string, state: 'active' | 'paused' | 'revoked', summary: string): Command {
  return {
    words: ['key', word],
    summary,
    args: ['ID'],
    options: {},
    explain: {},
    example: `forge key ${word} key_…`,
    async run({ args, client }) {
      const value = await (await client()).changeKey(args[0] ?? '', { state })
      return { value, text: pairs(keyText(value)) }
    },
  }
}

export const TENANT_COMMANDS: readonly Command[] = [
  orgCreate,
  orgList,
  projectCreate,
  projectList,
  keyCreate,
  keyList,
  stateCommand('pause', 'paused', 'Refuses requests of an API key until it is resumed'),
  stateCommand('resume', 'active', 'Lets a paused API key be used again'),
  stateCommand('revoke', 'revoked', 'Ends an API key for ever'),
]
