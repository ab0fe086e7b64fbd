import { type AuditActor, type BudgetScope, FaultError, fault } from '../../contract/index.ts'
import type { Uuid } from '../../kernel/index.ts'
import type { ApiDeps } from '../deps.ts'
import type { Caller } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { idOf, notFound, scopeOf } from '../scope.ts'
import { limitScopeId } from '../views.ts'

/** What budgets and rate limits have in common: what they are about, whose they are, who sees and who changes them. */

interface Asked {
  readonly scope: BudgetScope
  readonly scope_id: string
  readonly organization?: string | undefined
}

/** What the limit is about must be there. */
type Place = (deps: ApiDeps, body: Asked) => Promise<{ readonly orgId: Uuid; readonly scopeId: string }>

async function placed(id: Uuid, found: Promise<{ readonly orgId: Uuid } | null>) {
  const { orgId } = (await found) ?? {}
  if (orgId === undefined) throw notFound()
  return { orgId, scopeId: id }
}

const PLACES: Readonly<Record<BudgetScope, Place>> = {
  async organization(deps, body) {
    const id = idOf('org', body.scope_id)
    if ((await deps.tenancy.getOrganization(id)) === null) throw notFound()
    return { orgId: id, scopeId: id }
  },
  project: (deps, body) => {
    const id = idOf('prj', body.scope_id)
    return placed(id, deps.tenancy.getProject(id))
  },
  key: (deps, body) => {
    const id = idOf('key', body.scope_id)
    return placed(id, deps.tenancy.getKey(id))
  },
  run: (deps, body) => {
    const id = idOf('run', body.scope_id)
    return placed(id, deps.tenancy.getRun(id))
  },
  async route(deps, body) {
    if (body.organization === undefined)
      throw new InvalidRequest('body', [{ field: 'organization', message: 'is required for a route' }])
    const orgId = idOf('org', body.organization)
    if ((await deps.tenancy.getOrganization(orgId)) === null) throw notFound()
    const [route = '', model] = body.scope_id.split(':').reverse()
    const models = [...deps.catalog.snapshot().models.values()]
    const known = models.some(
      (one) =>
        (model === undefined || body.scope_id === `${one.name}:${route}`) &&
        one.routes.some((candidate) => candidate.name === route || candidate.type === route),
    )
    if (!known)
      throw new InvalidRequest('body', [
        { field: 'scope_id', message: 'is no route, type of route, or model:route of the catalog' },
      ])
    return { orgId, scopeId: body.scope_id }
  },
}

/** @throws FaultError 404 when it is not there, or not of the organization that is named */
export async function placeOf(
  deps: ApiDeps,
  asked: Asked,
): Promise<{ readonly orgId: Uuid; readonly scopeId: string }> {
  const place = await PLACES[asked.scope](deps, asked)
  if (asked.organization !== undefined && idOf('org', asked.organization) !== place.orgId) throw notFound()
  return place
}

/** A key sees what it falls under. */
export function seenBy(caller: Caller) {
  return caller.kind === 'key' ? { projectId: caller.key.projectId, apiKeyId: caller.key.id } : null
}

/** What an operator limits, the organization neither widens nor ends. */
export function assertOwn(caller: Caller, limit: { readonly setBy: AuditActor }): void {
  if (caller.kind === 'operator' || limit.setBy !== 'operator') return
  throw new FaultError(
    fault(
      'scope_exceeds_creator',
      'An operator has set this limit. Ask for another one, or narrow it for a project or key of your own.',
    ),
  )
}

/** What a list of limits is asked by, inside what the caller may see. */
export async function limitsFilter<S extends BudgetScope>(
  deps: ApiDeps,
  caller: Caller,
  query: {
    readonly organization?: string | undefined
    readonly scope?: S | undefined
    readonly scope_id?: string | undefined
    readonly ended?: 'true' | 'false' | undefined
    readonly limit: number
  },
) {
  const { orgId } = await scopeOf(deps, caller, { organization: query.organization })
  if (query.scope_id !== undefined && query.scope === undefined)
    throw new InvalidRequest('query', [{ field: 'scope', message: 'is required with scope_id' }])
  return {
    orgId,
    scope: query.scope ?? null,
    scopeId: query.scope === undefined ? null : limitScopeId(query.scope, query.scope_id ?? null),
    seenBy: seenBy(caller),
    ended: query.ended === 'true',
    limit: query.limit + 1,
  }
}
