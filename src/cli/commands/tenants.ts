import { PROJECT_STATES } from '../../contract/index.ts'
import { type Command, type Flags, givenFlag, textFlag, UsageError } from '../command.ts'
import { listText } from '../text.ts'
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

const ON_OFF = ['on', 'off'] as const

function oneOf<T extends string>(flags: Flags, name: string, words: readonly T[]): T | undefined {
  const text = textFlag(flags, name)
  const word = words.find((each) => each === text)
  if (text !== undefined && word === undefined)
    throw new UsageError(`--${name} must be one of ${words.join(', ')}`)
  return word
}

const projectChange: Command = {
  words: ['project', 'change'],
  summary: 'Renames, pauses or resumes a project, or has retries of official SDKs recognized for it',
  args: ['PROJECT'],
  options: {
    name: { type: 'string' },
    state: { type: 'string' },
    'replay-unkeyed-retries': { type: 'string' },
  },
  explain: {
    name: 'its new name',
    state: 'active or paused; while it is paused, none of its keys is served',
    'replay-unkeyed-retries':
      'on or off: a retry without Idempotency-Key gets the answer of the request it repeats',
  },
  example: 'forge project change prj_… --replay-unkeyed-retries on',
  async run({ args, flags, client }) {
    const name = textFlag(flags, 'name')
    const state = oneOf(flags, 'state', PROJECT_STATES)
    const replays = oneOf(flags, 'replay-unkeyed-retries', ON_OFF)
    const value = await (await client()).changeProject(args[0] ?? '', {
      ...(name === undefined ? {} : { name }),
      ...(state === undefined ? {} : { state }),
      ...(replays === undefined ? {} : { replay_unkeyed_retries: replays === 'on' }),
    })
    const retries = value.replay_unkeyed_retries ? 'on' : 'off'
    return {
      value,
      text: `${value.id}  ${value.name}  ${value.state}  replay of unkeyed retries: ${retries}`,
    }
  },
}

export const TENANT_COMMANDS: readonly Command[] = [
  orgCreate,
  orgList,
  projectCreate,
  projectList,
  projectChange,
]
