import type { ProjectState } from '../contract/index.ts'
import { conditions, type Database, type Queryable } from '../db/index.ts'
import { assert, type IdSource, type Json, type Uuid } from '../kernel/index.ts'
import { type Actor, recordEvent, SYSTEM } from './audit-log.ts'
import { createKeyBook, type KeyBook } from './keys.ts'
import type { Organization, Page, Project } from './records.ts'

/**
 * The tables of the tenancy schema as functions. Every read goes to the database; the hot path has its own cache. Every
 * change is written together with its event in the audit log.
 */

export interface NewOrganization {
  /** Chosen by the caller where a repeat shall find what was made; a repeat makes nothing. */
  readonly id?: Uuid
  readonly name: string
  readonly timeZone?: string
}

export interface NewProject {
  readonly id?: Uuid
  readonly orgId: Uuid
  readonly name: string
}

export interface OrganizationChange {
  readonly name?: string
  readonly timeZone?: string
}

export interface ProjectChange {
  readonly name?: string
  readonly state?: ProjectState
  readonly replayUnkeyedRetries?: boolean
}

export interface Directory extends KeyBook {
  createOrganization(input: NewOrganization, by?: Actor): Promise<Organization>
  /** Null when there is no such organization. */
  changeOrganization(id: Uuid, change: OrganizationChange, by?: Actor): Promise<Organization | null>
  /** Null when there is no such organization. */
  createProject(input: NewProject, by?: Actor): Promise<Project | null>
  /** Null when there is no such project. */
  changeProject(id: Uuid, change: ProjectChange, by?: Actor): Promise<Project | null>
  getOrganization(id: Uuid): Promise<Organization | null>
  getProject(id: Uuid): Promise<Project | null>
  listOrganizations(query: Named & Page): Promise<readonly Organization[]>
  listProjects(query: ProjectQuery): Promise<readonly Project[]>
}

interface Named {
  /** How the name begins; null or left out: however. */
  readonly namePrefix?: string | null
}

export interface ProjectQuery extends Named, Page {
  readonly orgId: Uuid | null
  readonly state?: ProjectState | null
}

interface OrganizationRow {
  readonly id: string
  readonly name: string
  readonly time_zone: string
  readonly created_at: Date
}

interface ProjectRow {
  readonly id: string
  readonly org_id: string
  readonly name: string
  readonly state: ProjectState
  readonly replay_unkeyed_retries: boolean
  readonly created_at: Date
}

const ORGANIZATION = 'id, name, time_zone, created_at'
const PROJECT = 'id, org_id, name, state, replay_unkeyed_retries, created_at'

function organizationOf(row: OrganizationRow): Organization {
  return { id: row.id, name: row.name, timeZone: row.time_zone, createdAtMs: row.created_at.getTime() }
}

function projectOf(row: ProjectRow): Project {
  return {
    id: row.id,
    orgId: row.org_id,
    name: row.name,
    state: row.state,
    replayUnkeyedRetries: row.replay_unkeyed_retries,
    createdAtMs: row.created_at.getTime(),
  }
}

export interface DirectoryParts {
  readonly database: Database
  readonly nowMs: () => number
  readonly ids: IdSource
  readonly randomBytes: (length: number) => Uint8Array
}

export function createDirectory(parts: DirectoryParts): Directory {
  return { ...organizations(parts), ...projects(parts), ...createKeyBook(parts) }
}

function organizations({ database, ids }: DirectoryParts) {
  const find = (from: Queryable, id: Uuid, lock = '') =>
    from.maybeOne<OrganizationRow>(`select ${ORGANIZATION} from tenancy.organization where id = $1 ${lock}`, [
      id,
    ])
  const told = ({ name, time_zone }: OrganizationRow): Json => ({ name, time_zone })

  return {
    createOrganization(input: NewOrganization, by: Actor = SYSTEM): Promise<Organization> {
      const id = input.id ?? ids.uuid()
      return database.tx(async (tx) => {
        const made = await tx.maybeOne<OrganizationRow>(
          `insert into tenancy.organization (id, name, time_zone) values ($1, $2, $3)
           on conflict (id) do nothing returning ${ORGANIZATION}`,
          [id, input.name, input.timeZone ?? 'UTC'],
        )
        const row = made ?? (await find(tx, id))
        assert(row !== null, 'an organization that was just made is there')
        if (made !== null)
          await recordEvent(tx, by, {
            orgId: id,
            action: 'organization.create',
            objectKind: 'organization',
            objectId: id,
            after: told(row),
          })
        return organizationOf(row)
      })
    },
    changeOrganization(
      id: Uuid,
      change: OrganizationChange,
      by: Actor = SYSTEM,
    ): Promise<Organization | null> {
      return database.tx(async (tx) => {
        const old = await find(tx, id, 'for no key update')
        if (old === null) return null
        const row = await tx.one<OrganizationRow>(
          `update tenancy.organization set name = $2, time_zone = $3 where id = $1 returning ${ORGANIZATION}`,
          [id, change.name ?? old.name, change.timeZone ?? old.time_zone],
        )
        await recordEvent(tx, by, {
          orgId: id,
          action: 'organization.change',
          objectKind: 'organization',
          objectId: id,
          before: told(old),
          after: told(row),
        })
        return organizationOf(row)
      })
    },
    async getOrganization(id: Uuid) {
      const row = await find(database, id)
      return row === null ? null : organizationOf(row)
    },
    async listOrganizations({ namePrefix, before, limit }: Named & Page) {
      const { where, values } = conditions([
        ['name ^@', namePrefix ?? null],
        ['id <', before],
      ])
      const rows = await database.query<OrganizationRow>(
        `select ${ORGANIZATION} from tenancy.organization ${where} order by id desc limit $${values.length + 1}`,
        [...values, limit],
      )
      return rows.map(organizationOf)
    },
  }
}

function projects({ database, ids }: DirectoryParts) {
  const find = (from: Queryable, id: Uuid, lock = '') =>
    from.maybeOne<ProjectRow>(`select ${PROJECT} from tenancy.project where id = $1 ${lock}`, [id])
  const told = ({ name, state, replay_unkeyed_retries }: ProjectRow): Json => ({
    name,
    state,
    replay_unkeyed_retries,
  })

  return {
    createProject(input: NewProject, by: Actor = SYSTEM): Promise<Project | null> {
      const { orgId, name } = input
      const id = input.id ?? ids.uuid()
      return database.tx(async (tx) => {
        const made = await tx.maybeOne<ProjectRow>(
          `insert into tenancy.project (org_id, id, name)
           select o.id, $2, $3 from tenancy.organization o where o.id = $1
           on conflict (id) do nothing returning ${PROJECT}`,
          [orgId, id, name],
        )
        const row = made ?? (await find(tx, id))
        if (made !== null)
          await recordEvent(tx, by, {
            orgId,
            action: 'project.create',
            objectKind: 'project',
            objectId: id,
            after: told(made),
          })
        return row === null ? null : projectOf(row)
      })
    },
    changeProject(id: Uuid, change: ProjectChange, by: Actor = SYSTEM): Promise<Project | null> {
      return database.tx(async (tx) => {
        const old = await find(tx, id, 'for no key update')
        if (old === null) return null
        const row = await tx.one<ProjectRow>(
          `update tenancy.project set name = $2, state = $3, replay_unkeyed_retries = $4 where id = $1 returning ${PROJECT}`,
          [
            id,
            change.name ?? old.name,
            change.state ?? old.state,
            change.replayUnkeyedRetries ?? old.replay_unkeyed_retries,
          ],
        )
        await recordEvent(tx, by, {
          orgId: row.org_id,
          action: 'project.change',
          objectKind: 'project',
          objectId: id,
          before: told(old),
          after: told(row),
        })
        return projectOf(row)
      })
    },
    async getProject(id: Uuid) {
      const row = await find(database, id)
      return row === null ? null : projectOf(row)
    },
    async listProjects({ orgId, state, namePrefix, before, limit }: ProjectQuery) {
      const { where, values } = conditions([
        ['org_id =', orgId],
        ['state =', state ?? null],
        ['name ^@', namePrefix ?? null],
        ['id <', before],
      ])
      const rows = await database.query<ProjectRow>(
        `select ${PROJECT} from tenancy.project ${where} order by id desc limit $${values.length + 1}`,
        [...values, limit],
      )
      return rows.map(projectOf)
    },
  }
}
