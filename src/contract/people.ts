import { z } from 'zod'
import { PERMISSIONS, ROLES } from './permissions.ts'

/** People of an organization, and invitations to it, as they cross HTTP. */

const time = z.string().describe('RFC 3339, UTC')
const organization = z.string().describe('org_…')
const person = z.string().describe('usr_…')

export const memberSchema = z.object({
  person,
  organization,
  email: z.string().nullable(),
  name: z.string().nullable(),
  role: z.enum(ROLES),
  created_at: time,
})
export type MemberView = z.infer<typeof memberSchema>

export const memberChangeSchema = z.strictObject({ role: z.enum(ROLES) })
export type MemberChange = z.infer<typeof memberChangeSchema>

export const invitationSchema = z.object({
  id: z.string().describe('inv_…'),
  organization,
  email: z.string(),
  role: z.enum(ROLES),
  state: z.enum(['open', 'accepted', 'revoked', 'expired']),
  invited_by: person.nullable().describe('null: an operator'),
  created_at: time,
  expires_at: time,
})
export type InvitationView = z.infer<typeof invitationSchema>

export const newInvitationSchema = z.strictObject({
  organization: organization.optional().describe('needed by who belongs to several, and by operators'),
  email: z.email().max(254),
  role: z.enum(ROLES),
})
export type NewInvitation = z.infer<typeof newInvitationSchema>

export const createdInvitationSchema = invitationSchema.extend({
  mailed: z.boolean().describe('false: there is no mail server, or it refused'),
  token: z
    .string()
    .nullable()
    .describe(
      'whoever has it can join under that address, so with a mail server only the mailbox and operators see it; else null',
    ),
  link: z.string().nullable().describe('where it is accepted; null like the token'),
})
export type CreatedInvitation = z.infer<typeof createdInvitationSchema>

export const acceptInvitationSchema = z.strictObject({ token: z.string().min(1).max(128) })
export type AcceptInvitation = z.infer<typeof acceptInvitationSchema>

export const meSchema = z.object({
  person,
  email: z.string(),
  name: z.string(),
  operator: z.enum(['admin', 'auditor']).nullable(),
  organizations: z.array(
    z.object({
      organization,
      name: z.string(),
      role: z.enum(ROLES),
      permissions: z.array(z.enum(PERMISSIONS)),
    }),
  ),
})
export type Me = z.infer<typeof meSchema>
