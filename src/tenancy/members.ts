import { mayGive, type Role } from '../contract/index.ts'
import type { Database, Queryable } from '../db/index.ts'
import type { Uuid } from '../kernel/index.ts'
import { type Actor, recordEvent, SYSTEM } from './audit-log.ts'

/**
 * Who belongs to an organization, and as what. Whether somebody may give or take a role is judged in the
 * transaction that does it, by the role that the giver has at that moment.
 */

export interface Member {
  readonly orgId: Uuid
  readonly personId: Uuid
  readonly role: Role
  readonly createdAtMs: number
}

/** Null: an operator, who may give every role. */
export type Giver = Uuid | null

/** `exceeds`: the role is beyond what the giver may give. `last_owner`: nobody would be left to own the organization. */
export type Refused<R extends string> = { readonly ok: false; readonly reason: R }
export type MemberChanged =
  | { readonly ok: true; readonly member: Member }
  | Refused<'unknown' | 'exceeds' | 'last_owner'>
export interface MemberBook {
  membershipsOf(personId: Uuid): Promise<ReadonlyMap<Uuid, Role>>
  /** By person, for pages: `after` is the last person of the page before. */
  listMembers(query: {
    readonly orgId: Uuid | null
    readonly limit: number
    readonly after: Uuid | null
  }): Promise<readonly Member[]>
  changeMember(of: MemberRef, role: Role, giver: Giver, by?: Actor): Promise<MemberChanged>
  /** Everybody may leave; but for the last owner. */
  removeMember(of: MemberRef, giver: Giver, by?: Actor): Promise<MemberChanged>
}

interface MemberRef {
  readonly orgId: Uuid
  readonly personId: Uuid
}

export const MEMBER = 'org_id, person_id, role, created_at'
export interface MemberRow {
  readonly org_id: Uuid
  readonly person_id: Uuid
  readonly role: Role
  readonly created_at: Date
}

export function memberOf(row: MemberRow): Member {
  return {
    orgId: row.org_id,
    personId: row.person_id,
    role: row.role,
    createdAtMs: row.created_at.getTime(),
  }
}

export const refused = <R extends string>(reason: R): Refused<R> => ({ ok: false, reason })

/** One change of an organization's people at a time: two owners who remove one another at once would leave none. */
export async function lockOrganization(tx: Queryable, orgId: Uuid): Promise<boolean> {
  const text = 'select id from tenancy.organization where id = $1 for no key update'
  return (await tx.maybeOne(text, [orgId])) !== null
}

async function memberIn(tx: Queryable, { orgId, personId }: MemberRef): Promise<Member | null> {
  const text = `select ${MEMBER} from tenancy.member where org_id = $1 and person_id = $2`
  const row = await tx.maybeOne<MemberRow>(text, [orgId, personId])
  return row === null ? null : memberOf(row)
}

export async function mayGiveNow(tx: Queryable, orgId: Uuid, giver: Giver, role: Role): Promise<boolean> {
  if (giver === null) return true
  const own = await memberIn(tx, { orgId, personId: giver })
  return own !== null && mayGive(own.role, role)
}

async function isLastOwner(tx: Queryable, { orgId, role }: Member): Promise<boolean> {
  if (role !== 'owner') return false
  const text = `select count(*)::int as owners from tenancy.member where org_id = $1 and role = 'owner'`
  return (await tx.one<{ owners: number }>(text, [orgId])).owners === 1
}

export function createMemberBook(database: Database): MemberBook {
  return {
    async membershipsOf(personId) {
      const text = 'select org_id, role from tenancy.member where person_id = $1'
      const rows = await database.query<Pick<MemberRow, 'org_id' | 'role'>>(text, [personId])
      return new Map(rows.map((row) => [row.org_id, row.role]))
    },
    async listMembers({ orgId, limit, after }) {
      const rows = await database.query<MemberRow>(
        `select ${MEMBER} from tenancy.member where ($1::uuid is null or org_id = $1) and ($2::uuid is null or person_id > $2)
         order by person_id limit $3`,
        [orgId, after, limit],
      )
      return rows.map(memberOf)
    },
    changeMember: (of, role, giver, by = SYSTEM) =>
      database.tx(async (tx) => {
        const old = (await lockOrganization(tx, of.orgId)) ? await memberIn(tx, of) : null
        if (old === null) return refused('unknown')
        for (const one of [old.role, role])
          if (!(await mayGiveNow(tx, of.orgId, giver, one))) return refused('exceeds')
        if (role !== 'owner' && (await isLastOwner(tx, old))) return refused('last_owner')
        await tx.query('update tenancy.member set role = $3 where org_id = $1 and person_id = $2', [
          of.orgId,
          of.personId,
          role,
        ])
        await recordEvent(tx, by, {
          orgId: of.orgId,
          action: 'member.change',
          objectKind: 'person',
          objectId: of.personId,
          before: { role: old.role },
          after: { role },
        })
        return { ok: true, member: { ...old, role } }
      }),
    removeMember: (of, giver, by = SYSTEM) =>
      database.tx(async (tx) => {
        const old = (await lockOrganization(tx, of.orgId)) ? await memberIn(tx, of) : null
        if (old === null) return refused('unknown')
        const leaves = giver === of.personId
        if (!leaves && !(await mayGiveNow(tx, of.orgId, giver, old.role))) return refused('exceeds')
        if (await isLastOwner(tx, old)) return refused('last_owner')
        await tx.query('delete from tenancy.member where org_id = $1 and person_id = $2', [
          of.orgId,
          of.personId,
        ])
        await recordEvent(tx, by, {
          orgId: of.orgId,
          action: 'member.remove',
          objectKind: 'person',
          objectId: of.personId,
          before: { role: old.role },
        })
        return { ok: true, member: old }
      }),
  }
}
