import { z } from 'zod'
import {
  acceptInvitationSchema,
  createdInvitationSchema,
  FaultError,
  fault,
  type InvitationView,
  invitationSchema,
  listOf,
  memberSchema,
  newInvitationSchema,
  organizationPageQuery,
} from '../../contract/index.ts'
import { formatId, isoTime, type Uuid } from '../../kernel/index.ts'
import type { Invitation } from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { MadeBefore } from '../once.ts'
import { operation } from '../operation.ts'
import { cursorOf, idOf, notFound, organizationOf, pageOf } from '../scope.ts'
import { exceeds, giverOf } from './members.ts'

const nothing = z.strictObject({})

function invitationView(invitation: Invitation): InvitationView {
  return {
    id: formatId('inv', invitation.id),
    organization: formatId('org', invitation.orgId),
    email: invitation.email,
    role: invitation.role,
    state: invitation.state,
    invited_by: invitation.invitedBy === null ? null : formatId('usr', invitation.invitedBy),
    created_at: isoTime(invitation.createdAtMs),
    expires_at: isoTime(invitation.expiresAtMs),
  }
}

async function mail(deps: ApiDeps, orgId: Uuid, invitation: Invitation, link: string): Promise<boolean> {
  const organization = await deps.tenancy.getOrganization(orgId)
  const name = organization?.name ?? ''
  const until = isoTime(invitation.expiresAtMs).slice(0, 10)
  const sent = await deps.mailer.send({
    to: invitation.email,
    subject: `Tokens Forge: ${name} invites you · ${name} 邀请您加入`,
    text: [
      `You are invited to join ${name} on Tokens Forge as ${invitation.role}. The link is good until ${until}, once, and for this address:`,
      `您受邀以 ${invitation.role} 身份加入 Tokens Forge 上的 ${name}。链接在 ${until} 前有效，仅可使用一次，且仅限此邮箱：`,
      '',
      link,
      '',
      'If you do not know who asks, do nothing. · 如果您不认识邀请人，请忽略此邮件。',
    ].join('\n'),
  })
  return sent.ok
}

const UNSHOWN = { token: null, link: null } as const

export const listInvitations = operation({
  id: 'listInvitations',
  method: 'GET',
  path: '/api/v1/invitations',
  summary: 'Invitations to an organization, newest first',
  callers: ['operator'],
  permission: 'members.read',
  params: nothing,
  query: organizationPageQuery,
  body: null,
  response: listOf(invitationSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const orgId = await organizationOf(deps, caller, query.organization)
    const before = cursorOf('inv', query.cursor)
    const rows = await deps.tenancy.listInvitations({ orgId, limit: query.limit + 1, before })
    return pageOf('inv', rows, query.limit, invitationView)
  },
})

function tooMany(): FaultError {
  const message = 'The organization has made as many invitations as it may in 24 hours. Ask an operator.'
  return new FaultError(fault('rate_limit_exceeded', message, { retryAfterMs: 3_600_000 }))
}

export const createInvitation = operation({
  id: 'createInvitation',
  method: 'POST',
  path: '/api/v1/invitations',
  summary: 'Invites an address to an organization; an open invitation of the same address is replaced',
  callers: ['operator'],
  permission: 'members.write',
  secret: true,
  params: nothing,
  query: nothing,
  body: newInvitationSchema,
  response: createdInvitationSchema,
  status: 201,
  faults: ['not_found', 'scope_exceeds_creator', 'conflict', 'rate_limit_exceeded'],
  async run({ deps, caller, by, newId, body }) {
    const orgId = await organizationOf(deps, caller, body.organization)
    const invited = await deps.tenancy.invite(
      { id: newId, orgId, email: body.email, role: body.role, giver: giverOf(caller) },
      by,
    )
    if (!invited.ok) {
      if (invited.reason === 'exceeds') throw exceeds()
      if (invited.reason === 'too_many') throw tooMany()
      throw invited.reason === 'done_before' ? new MadeBefore(formatId('inv', newId)) : notFound()
    }
    const { invitation, token } = invited
    const link = `${deps.origin()}/join/${token}`
    const mailed = await mail(deps, orgId, invitation, link)
    // It proves an address. Whoever invites would have it of any address, and could make that person's account.
    const shown = caller.kind === 'operator' || !deps.mailer.configured ? { token, link } : UNSHOWN
    return { ...invitationView(invitation), ...shown, mailed }
  },
})

export const revokeInvitation = operation({
  id: 'revokeInvitation',
  method: 'DELETE',
  path: '/api/v1/invitations/{id}',
  summary: 'Ends an open invitation',
  callers: ['operator'],
  permission: 'members.write',
  params: z.strictObject({ id: z.string() }),
  query: nothing,
  body: null,
  response: invitationSchema,
  faults: ['not_found'],
  async run({ deps, by, params }) {
    const invitation = await deps.tenancy.revokeInvitation(idOf('inv', params.id), by)
    if (invitation === null) throw notFound()
    return invitationView(invitation)
  },
})

const REFUSED = {
  unknown: () => notFound(),
  exceeds: () =>
    new FaultError(
      fault(
        'scope_exceeds_creator',
        'Whoever invited you may not give that role any more. Ask for another one.',
      ),
    ),
  other_address: () =>
    new FaultError(
      fault('forbidden', 'The invitation is for another address than yours, or yours is not verified.'),
    ),
  member_already: () => new FaultError(fault('conflict', 'You belong to that organization already.')),
} as const

export const acceptInvitation = operation({
  id: 'acceptInvitation',
  method: 'POST',
  path: '/api/v1/invitations/accept',
  summary: 'Joins an organization with the token of an invitation to one’s own address',
  callers: ['operator'],
  permission: 'signed_in',
  params: nothing,
  query: nothing,
  body: acceptInvitationSchema,
  response: memberSchema,
  faults: ['not_found', 'scope_exceeds_creator', 'conflict'],
  async run({ deps, caller, by, body }) {
    const person = caller.kind === 'person' || caller.kind === 'operator' ? caller.person : null
    if (person === null)
      throw new FaultError(fault('forbidden', 'Somebody who is signed in has to accept an invitation.'))
    const accepted = await deps.tenancy.accept(body.token, person, by)
    if (!accepted.ok) throw REFUSED[accepted.reason]()
    const { orgId, role, createdAtMs } = accepted.member
    return {
      person: formatId('usr', person.id),
      organization: formatId('org', orgId),
      email: person.email,
      name: person.name,
      role,
      created_at: isoTime(createdAtMs),
    }
  },
})
