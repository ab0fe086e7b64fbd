import { type Fault, fault, ROLE_PERMISSIONS, type Role } from '../contract/index.ts'
import type { Uuid } from '../kernel/index.ts'
import type { ApiDeps } from './deps.ts'
import type { Caller, Operation } from './operation.ts'
import type { Person } from './people.ts'

/**
 * What a caller's operation is given to work with. A customer's works through a role of the database that sees the
 * customer's organizations only, so that an operation that forgets to ask whose a thing is finds nothing. Of a person's
 * organizations those are seen whose role gives the permission that the operation declares: roles are checked here, and
 * nowhere else.
 */
export function fenced(deps: ApiDeps, operation: Operation, caller: Caller): ApiDeps {
  // What every person may do is about themselves, and needs no organization.
  if (caller.kind === 'person' && operation.permission !== 'signed_in')
    return { ...deps, ...deps.tenants([...caller.roles.keys()]) }
  if (caller.kind === 'key') return { ...deps, ...deps.tenants([caller.key.orgId]) }
  return caller.kind === 'operator' ? { ...deps, ...deps.console } : deps
}

/** The caller that a signed-in person is to one operation. */
export function asCaller(
  operation: Operation,
  person: Person,
  roles: ReadonlyMap<Uuid, Role>,
): Caller | Fault {
  const { operatorRole } = person
  if (operatorRole !== null && operation.callers.includes('operator')) {
    if (operatorRole === 'admin' || operation.method === 'GET') return { kind: 'operator', person }
    return fault('forbidden', 'An auditor may look at everything, and change nothing.')
  }
  const { permission } = operation
  if (permission === undefined) return fault('forbidden', 'This needs the operator token, or an operator.')
  if (permission === 'signed_in') return { kind: 'person', person, roles }
  const able = new Map([...roles].filter(([, role]) => ROLE_PERMISSIONS[role].has(permission)))
  if (able.size > 0) return { kind: 'person', person, roles: able }
  const has = [...new Set(roles.values())].join(', ')
  return fault(
    'forbidden',
    has === ''
      ? 'You belong to no organization. Ask one of its owners for an invitation.'
      : `This needs the permission ${permission}, which your role (${has}) does not have.`,
  )
}
