import { createHash } from 'node:crypto'
import type { Role } from '../contract/index.ts'
import type { Database, Queryable } from '../db/index.ts'
import { type IdSource, isoTime, type Uuid } from '../kernel/index.ts'
import { type Actor, recordEvent, SYSTEM } from './audit-log.ts'
import {
  type Giver,
  lockOrganization,
  MEMBER,
  type Member,
  type MemberRow,
  mayGiveNow,
  memberOf,
  type Refused,
  refused,
} from './members.ts'

/** Who was asked to join an organization. A token proves an address, once; what it gives is judged again when it is used. */

export interface Invitation {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly email: string
  readonly role: Role
  readonly state: 'open' | 'accepted' | 'revoked' | 'expired'
  /** Null: an operator. */
  readonly invitedBy: Uuid | null
  readonly createdAtMs: number
  readonly expiresAtMs: number
}

export type Invited =
  | { readonly ok: true; readonly invitation: Invitation; readonly token: string }
  | Refused<'unknown' | 'exceeds' | 'done_before' | 'too_many'>
export type Accepted =
  | { readonly ok: true; readonly member: Member }
  | Refused<'unknown' | 'exceeds' | 'other_address' | 'member_already'>

export interface Invitations {
  /** An open invitation of the address to the organization is replaced. */
  invite(input: NewInvite, by?: Actor): Promise<Invited>
  listInvitations(query: {
    readonly orgId: Uuid | null
    readonly limit: number
    readonly before: Uuid | null
  }): Promise<readonly Invitation[]>
  /** Null when there is none of that id; ended ones stay as they are. */
  revokeInvitation(id: Uuid, by?: Actor): Promise<Invitation | null>
  /** The open invitation of a token, with the name of its organization; changes nothing. */
  seeInvitation(token: string): Promise<(Invitation & { readonly organization: string }) | null>
  /**
   * Whether an address was invited, so that its owner may make an account.
   * @param token of the invitation; null for an address that somebody else has verified
   */
  maySignUp(email: string, token: string | null): Promise<boolean>
  accept(
    token: string,
    person: { readonly id: Uuid; readonly email: string; readonly emailVerified: boolean },
    by?: Actor,
  ): Promise<Accepted>
}

interface NewInvite {
  readonly id?: Uuid
  readonly orgId: Uuid
  readonly email: string
  readonly role: Role
  readonly giver: Giver
}

export interface InvitationParts {
  readonly database: Database
  readonly nowMs: () => number
  readonly ids: IdSource
  readonly randomBytes: (length: number) => Uint8Array
}

const INVITATION_MS = 7 * 86_400_000
const TOKEN_BYTES = 32
/** In 24 hours, of one organization: each is a mail to an address of its choice, with a name of its choice in it. */
const A_DAY_MAX = 100

const INVITATION =
  'org_id, id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at, expires_at <= clock_timestamp() as late'

interface InvitationRow {
  readonly org_id: Uuid
  readonly id: Uuid
  readonly email: string
  readonly role: Role
  readonly invited_by: Uuid | null
  readonly created_at: Date
  readonly expires_at: Date
  readonly accepted_at: Date | null
  readonly revoked_at: Date | null
  readonly late: boolean
}

function stateOf(row: InvitationRow): Invitation['state'] {
  if (row.accepted_at !== null) return 'accepted'
  if (row.revoked_at !== null) return 'revoked'
  return row.late ? 'expired' : 'open'
}

function invitationOf(row: InvitationRow): Invitation {
  return {
    orgId: row.org_id,
    id: row.id,
    email: row.email,
    role: row.role,
    state: stateOf(row),
    invitedBy: row.invited_by,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
  }
}

const hashToken = (token: string): Buffer => createHash('sha256').update(token).digest()

async function openOf(from: Queryable, token: string, lock = ''): Promise<Invitation | null> {
  const text = `select ${INVITATION} from tenancy.invitation where token_sha256 = $1 ${lock}`
  const row = await from.maybeOne<InvitationRow>(text, [hashToken(token)])
  return row === null || stateOf(row) !== 'open' ? null : invitationOf(row)
}

async function lately(tx: Queryable, orgId: Uuid): Promise<number> {
  const text = `select count(*)::int as made from tenancy.invitation
    where org_id = $1 and created_at > clock_timestamp() - interval '24 hours'`
  return (await tx.one<{ made: number }>(text, [orgId])).made
}

async function invite(
  { nowMs, ids, randomBytes }: InvitationParts,
  tx: Queryable,
  input: NewInvite,
  by: Actor,
): Promise<Invited> {
  const { orgId, role, giver } = input
  const id = input.id ?? ids.uuid()
  const email = input.email.toLowerCase()
  if (!(await lockOrganization(tx, orgId))) return refused('unknown')
  if (!(await mayGiveNow(tx, orgId, giver, role))) return refused('exceeds')
  const before = await tx.maybeOne('select id from tenancy.invitation where id = $1', [id])
  if (before !== null) return refused('done_before')
  if (giver !== null && (await lately(tx, orgId)) >= A_DAY_MAX) return refused('too_many')
  await tx.query(
    `update tenancy.invitation set revoked_at = clock_timestamp()
     where org_id = $1 and email = $2 and accepted_at is null and revoked_at is null`,
    [orgId, email],
  )
  const token = `tfi_${Buffer.from(randomBytes(TOKEN_BYTES)).toString('base64url')}`
  const row = await tx.one<InvitationRow>(
    `insert into tenancy.invitation (org_id, id, email, role, token_sha256, invited_by, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7) returning ${INVITATION}`,
    [orgId, id, email, role, hashToken(token), giver, isoTime(nowMs() + INVITATION_MS)],
  )
  await recordEvent(tx, by, {
    orgId,
    action: 'invitation.create',
    objectKind: 'invitation',
    objectId: id,
    after: { email, role },
  })
  return { ok: true, invitation: invitationOf(row), token }
}

/** Whose address was proven, and by whom. */
type Joining = { readonly id: Uuid; readonly email: string; readonly emailVerified: boolean }

async function accept(tx: Queryable, token: string, person: Joining, by: Actor): Promise<Accepted> {
  const seen = await openOf(tx, token)
  if (seen === null || !(await lockOrganization(tx, seen.orgId))) return refused('unknown')
  const invitation = await openOf(tx, token, 'for no key update')
  if (invitation === null) return refused('unknown')
  const { orgId, role } = invitation
  // The token alone is no proof: a forwarded mail must not let its reader in.
  if (!person.emailVerified || person.email.toLowerCase() !== invitation.email)
    return refused('other_address')
  // Whoever invited may have been demoted or removed since.
  if (!(await mayGiveNow(tx, orgId, invitation.invitedBy, role))) return refused('exceeds')
  const made = await tx.maybeOne<MemberRow>(
    `insert into tenancy.member (org_id, person_id, role) values ($1, $2, $3) on conflict do nothing returning ${MEMBER}`,
    [orgId, person.id, role],
  )
  if (made === null) return refused('member_already')
  await tx.query(
    'update tenancy.invitation set accepted_at = clock_timestamp(), accepted_by = $2 where id = $1',
    [invitation.id, person.id],
  )
  await recordEvent(tx, by, {
    orgId,
    action: 'member.join',
    objectKind: 'person',
    objectId: person.id,
    after: { role, invitation: invitation.id },
  })
  return { ok: true, member: memberOf(made) }
}

export function createInvitations(parts: InvitationParts): Invitations {
  const { database } = parts
  return {
    async maySignUp(email, token) {
      if (token !== null) return (await openOf(database, token))?.email === email.toLowerCase()
      const open = await database.query(
        `select 1 from tenancy.invitation where email = $1 and accepted_at is null and revoked_at is null
           and expires_at > clock_timestamp() limit 1`,
        [email.toLowerCase()],
      )
      return open.length > 0
    },
    async seeInvitation(token) {
      const invitation = await openOf(database, token)
      if (invitation === null) return null
      const text = 'select name from tenancy.organization where id = $1'
      const { name } = await database.one<{ name: string }>(text, [invitation.orgId])
      return { ...invitation, organization: name }
    },
    invite: (input, by = SYSTEM) => database.tx((tx) => invite(parts, tx, input, by)),
    async listInvitations({ orgId, limit, before }) {
      const rows = await database.query<InvitationRow>(
        `select ${INVITATION} from tenancy.invitation where ($1::uuid is null or org_id = $1) and ($2::uuid is null or id < $2)
         order by id desc limit $3`,
        [orgId, before, limit],
      )
      return rows.map(invitationOf)
    },
    revokeInvitation: (id, by = SYSTEM) =>
      database.tx(async (tx) => {
        const revoked = await tx.maybeOne<InvitationRow>(
          `update tenancy.invitation set revoked_at = clock_timestamp()
           where id = $1 and accepted_at is null and revoked_at is null returning ${INVITATION}`,
          [id],
        )
        if (revoked !== null)
          await recordEvent(tx, by, {
            orgId: revoked.org_id,
            action: 'invitation.revoke',
            objectKind: 'invitation',
            objectId: id,
          })
        const row =
          revoked ??
          (await tx.maybeOne<InvitationRow>(`select ${INVITATION} from tenancy.invitation where id = $1`, [
            id,
          ]))
        return row === null ? null : invitationOf(row)
      }),
    accept: (token, person, by = SYSTEM) => database.tx((tx) => accept(tx, token, person, by)),
  }
}
