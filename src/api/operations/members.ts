import { z } from 'zod'
import {
  FaultError,
  fault,
  listOf,
  type MemberView,
  memberChangeSchema,
  memberSchema,
  organizationPageQuery,
} from '../../contract/index.ts'
import { formatId, isoTime } from '../../kernel/index.ts'
import type { Giver, Member, MemberChanged } from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { type Caller, operation } from '../operation.ts'
import { cursorOf, idOf, notFound, organizationOf } from '../scope.ts'

const ofMember = z.strictObject({ organization: z.string(), person: z.string() })
const nothing = z.strictObject({})

/** In whose name a role is given: an operator may give every one. */
export function giverOf(caller: Caller): Giver {
  return caller.kind === 'person' ? caller.person.id : null
}

async function viewsOf(deps: ApiDeps, members: readonly Member[]): Promise<MemberView[]> {
  const people = await deps.people.describe(members.map(({ personId }) => personId))
  return members.map((member) => ({
    person: formatId('usr', member.personId),
    organization: formatId('org', member.orgId),
    email: people.get(member.personId)?.email ?? null,
    name: people.get(member.personId)?.name ?? null,
    role: member.role,
    created_at: isoTime(member.createdAtMs),
  }))
}

export function exceeds(): FaultError {
  return new FaultError(
    fault('scope_exceeds_creator', 'That role may more than yours, so it is not yours to give or to take.'),
  )
}

async function viewOf(deps: ApiDeps, changed: MemberChanged): Promise<MemberView> {
  if (!changed.ok) {
    if (changed.reason === 'unknown') throw notFound()
    if (changed.reason === 'exceeds') throw exceeds()
    throw new FaultError(
      fault('conflict', 'This is the last owner of the organization. Make somebody else an owner first.'),
    )
  }
  const [view] = await viewsOf(deps, [changed.member])
  if (view === undefined) throw new Error('one member has one view')
  return view
}

export const listMembers = operation({
  id: 'listMembers',
  method: 'GET',
  path: '/api/v1/members',
  summary: 'People of an organization and their roles',
  callers: ['operator'],
  permission: 'members.read',
  params: nothing,
  query: organizationPageQuery,
  body: null,
  response: listOf(memberSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const orgId = await organizationOf(deps, caller, query.organization)
    const after = cursorOf('usr', query.cursor)
    const rows = await deps.tenancy.listMembers({ orgId, limit: query.limit + 1, after })
    const data = await viewsOf(deps, rows.slice(0, query.limit))
    return { data, next_cursor: rows.length > query.limit ? (data.at(-1)?.person ?? null) : null }
  },
})

export const changeMember = operation({
  id: 'changeMember',
  method: 'PATCH',
  path: '/api/v1/organizations/{organization}/members/{person}',
  summary: 'Gives somebody another role, at once; nobody can give more than they have',
  callers: ['operator'],
  permission: 'members.write',
  params: ofMember,
  query: nothing,
  body: memberChangeSchema,
  response: memberSchema,
  faults: ['not_found', 'scope_exceeds_creator', 'conflict'],
  async run({ deps, caller, by, params, body }) {
    const member = { orgId: idOf('org', params.organization), personId: idOf('usr', params.person) }
    return viewOf(deps, await deps.tenancy.changeMember(member, body.role, giverOf(caller), by))
  },
})

export const removeMember = operation({
  id: 'removeMember',
  method: 'DELETE',
  path: '/api/v1/organizations/{organization}/members/{person}',
  summary: 'Takes somebody out of an organization, at once; API keys stay, since they are the project’s',
  callers: ['operator'],
  permission: 'members.write',
  params: ofMember,
  query: nothing,
  body: null,
  response: memberSchema,
  faults: ['not_found', 'scope_exceeds_creator', 'conflict'],
  async run({ deps, caller, by, params }) {
    const member = { orgId: idOf('org', params.organization), personId: idOf('usr', params.person) }
    return viewOf(deps, await deps.tenancy.removeMember(member, giverOf(caller), by))
  },
})

export const leaveOrganization = operation({
  id: 'leaveOrganization',
  method: 'POST',
  path: '/api/v1/organizations/{organization}/leave',
  summary: 'Leaves an organization; its last owner cannot',
  callers: [],
  permission: 'organization.read',
  params: z.strictObject({ organization: z.string() }),
  query: nothing,
  body: null,
  response: memberSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, caller, by, params }) {
    if (caller.kind !== 'person') throw notFound()
    const personId = caller.person.id
    const member = { orgId: idOf('org', params.organization), personId }
    return viewOf(deps, await deps.tenancy.removeMember(member, personId, by))
  },
})
