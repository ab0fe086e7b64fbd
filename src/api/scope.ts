import { FaultError, fault } from '../contract/index.ts'
import { formatId, type IdPrefix, parseId, type Uuid } from '../kernel/index.ts'
import type { ApiDeps } from './deps.ts'
import type { Caller } from './operation.ts'
import { InvalidRequest } from './problem.ts'

/**
 * Whose data a caller may see. What is another's and what does not exist are one answer, 404 with one sentence, or ids
 * could be tried for existence.
 */

export function notFound(): FaultError {
  return new FaultError(fault('not_found', 'There is nothing of that id here.'))
}

export function idOf(prefix: IdPrefix, text: string): Uuid {
  const id = parseId(prefix, text)
  if (id === null) throw notFound()
  return id
}

export interface Scope {
  readonly orgId: Uuid | null
  readonly projectId: Uuid | null
}

/** The organization and project that a list is about: those asked for, inside those the caller has. */
export async function scopeOf(
  deps: ApiDeps,
  caller: Caller,
  asked: { readonly organization?: string | undefined; readonly project?: string | undefined },
): Promise<Scope> {
  const orgId = asked.organization === undefined ? null : idOf('org', asked.organization)
  const projectId = asked.project === undefined ? null : idOf('prj', asked.project)
  if (caller.kind === 'key') {
    const own = caller.key
    if (orgId !== null && orgId !== own.orgId) throw notFound()
    if (projectId !== null && projectId !== own.projectId) throw notFound()
    return { orgId: own.orgId, projectId: own.projectId }
  }
  // One organization is meant when there is only one; of several, all are listed.
  if (caller.kind === 'person') {
    if (orgId !== null && !caller.roles.has(orgId)) throw notFound()
    const [only] = caller.roles.size === 1 ? [...caller.roles.keys()] : []
    if (projectId === null) return { orgId: orgId ?? only ?? null, projectId: null }
  }
  if (projectId !== null) {
    const project = await deps.tenancy.getProject(projectId)
    if (project === null || (orgId !== null && project.orgId !== orgId)) throw notFound()
    return { orgId: project.orgId, projectId }
  }
  if (orgId !== null && (await deps.tenancy.getOrganization(orgId)) === null) throw notFound()
  return { orgId, projectId: null }
}

/** One organization: a key's own, a person's only one; others must name it. */
export async function organizationOf(
  deps: ApiDeps,
  caller: Caller,
  asked: string | undefined,
): Promise<Uuid> {
  const { orgId } = await scopeOf(deps, caller, { organization: asked })
  if (orgId === null)
    throw new InvalidRequest('query', [
      {
        field: 'organization',
        message:
          caller.kind === 'person'
            ? 'is required: you belong to several'
            : 'is required with the operator token',
      },
    ])
  return orgId
}

/** The id in a cursor that this API gave out. */
export function cursorOf(prefix: IdPrefix, cursor: string | undefined): Uuid | null {
  if (cursor === undefined) return null
  const id = parseId(prefix, cursor)
  if (id === null) throw badCursor()
  return id
}

export function badCursor(): InvalidRequest {
  return new InvalidRequest('query', [{ field: 'cursor', message: 'is not one that this list gave out' }])
}

const SEQ = /^[1-9]\d{0,17}$/

/** The number in a cursor of a list by numbers. */
export function numberCursor(cursor: string | undefined): bigint | null {
  if (cursor === undefined) return null
  if (!SEQ.test(cursor)) throw badCursor()
  return BigInt(cursor)
}

/** A page of a list by numbers. @param rows one more than `limit` when there is a further page */
export function numberedPage<T extends { readonly seq: bigint }, V>(
  rows: readonly T[],
  limit: number,
  view: (row: T) => V,
): { data: V[]; next_cursor: string | null } {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    data: shown.map(view),
    next_cursor: rows.length > limit && last !== undefined ? String(last.seq) : null,
  }
}

export const instantOf = (text: string | undefined): number | null =>
  text === undefined ? null : Date.parse(text)

/** @param rows one more than `limit` when there is a further page */
export function pageOf<T extends { readonly id: Uuid }, V>(
  prefix: IdPrefix,
  rows: readonly T[],
  limit: number,
  view: (row: T) => V,
): { data: V[]; next_cursor: string | null } {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    data: shown.map(view),
    next_cursor: rows.length > limit && last !== undefined ? formatId(prefix, last.id) : null,
  }
}
