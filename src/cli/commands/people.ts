import { ROLES, type Role } from '../../contract/index.ts'
import { type Command, givenFlag, textFlag, UsageError } from '../command.ts'
import { listText, pairs } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

function roleOf(text: string | undefined): Role {
  const role = ROLES.find((one) => one === text)
  if (role === undefined) throw new UsageError(`the role must be one of ${ROLES.join(', ')}`)
  return role
}

const memberList: Command = {
  words: ['member', 'list'],
  summary: 'Lists the people of an organization',
  args: [],
  options: { org: { type: 'string' }, ...PAGE_OPTIONS },
  required: ['org'],
  explain: { org: 'the organization (org_…)', ...PAGE_EXPLAIN },
  example: 'forge member list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listMembers({
      organization: givenFlag(flags, 'org'),
      ...pageQuery(flags),
    })
    const rows = value.data.map((member) => [
      member.person,
      member.role,
      member.email ?? '',
      member.name ?? '',
    ])
    return { value, text: listText(['person', 'role', 'e-mail', 'name'], rows, value.next_cursor) }
  },
}

function noteOf({ mailed, link }: { readonly mailed: boolean; readonly link: string | null }): string {
  if (mailed) return 'The link was mailed.'
  return link === null
    ? 'The mail server refused the mail: invite again, or ask an operator.'
    : 'The link was not mailed: hand it over yourself.'
}

const memberInvite: Command = {
  words: ['member', 'invite'],
  summary: 'Invites somebody to an organization; the link is for that address, once',
  args: ['E-MAIL'],
  options: { org: { type: 'string' }, role: { type: 'string' } },
  required: ['org', 'role'],
  explain: { org: 'the organization (org_…)', role: ROLES.join(', ') },
  example: 'forge member invite ada@example.com --org org_… --role owner',
  async run({ args, flags, client }) {
    const value = await (await client()).createInvitation({
      organization: givenFlag(flags, 'org'),
      email: args[0] ?? '',
      role: roleOf(textFlag(flags, 'role')),
    })
    return {
      value,
      text: pairs([
        ['id', value.id],
        ['for', value.email],
        ['role', value.role],
        ['link', value.link ?? 'in the mail'],
        ['expires', value.expires_at],
      ]),
      notes: [noteOf(value)],
    }
  },
}

const memberRole: Command = {
  words: ['member', 'role'],
  summary: 'Gives somebody another role, at once',
  args: ['PERSON', 'ROLE'],
  options: { org: { type: 'string' } },
  required: ['org'],
  explain: { org: 'the organization (org_…)' },
  example: 'forge member role usr_… billing --org org_…',
  async run({ args, flags, client }) {
    const role = roleOf(args[1])
    const value = await (await client()).changeMember(givenFlag(flags, 'org'), args[0] ?? '', { role })
    return { value, text: `${value.person}  ${value.role}` }
  },
}

const memberRemove: Command = {
  words: ['member', 'remove'],
  summary: 'Takes somebody out of an organization, at once; API keys stay',
  args: ['PERSON'],
  options: { org: { type: 'string' } },
  required: ['org'],
  explain: { org: 'the organization (org_…)' },
  example: 'forge member remove usr_… --org org_…',
  async run({ args, flags, client }) {
    const value = await (await client()).removeMember(givenFlag(flags, 'org'), args[0] ?? '')
    return { value, text: `${value.person} is no member any more` }
  },
}

const invitationList: Command = {
  words: ['invitation', 'list'],
  summary: 'Lists invitations to an organization, newest first',
  args: [],
  options: { org: { type: 'string' }, ...PAGE_OPTIONS },
  required: ['org'],
  explain: { org: 'the organization (org_…)', ...PAGE_EXPLAIN },
  example: 'forge invitation list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listInvitations({
      organization: givenFlag(flags, 'org'),
      ...pageQuery(flags),
    })
    const rows = value.data.map((one) => [one.id, one.email, one.role, one.state, one.expires_at])
    return { value, text: listText(['id', 'e-mail', 'role', 'state', 'expires'], rows, value.next_cursor) }
  },
}

const invitationRevoke: Command = {
  words: ['invitation', 'revoke'],
  summary: 'Ends an open invitation',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge invitation revoke inv_…',
  async run({ args, client }) {
    const value = await (await client()).revokeInvitation(args[0] ?? '')
    return { value, text: `${value.id}  ${value.state}` }
  },
}

export const PEOPLE_COMMANDS: readonly Command[] = [
  memberList,
  memberInvite,
  memberRole,
  memberRemove,
  invitationList,
  invitationRevoke,
]
