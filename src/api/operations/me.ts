import { z } from 'zod'
import { FaultError, fault, meSchema, PERMISSIONS, ROLE_PERMISSIONS } from '../../contract/index.ts'
import { formatId } from '../../kernel/index.ts'
import { operation } from '../operation.ts'

export const getMe = operation({
  id: 'getMe',
  method: 'GET',
  path: '/api/v1/me',
  summary: 'Who is signed in, where they belong, and what they may do there',
  callers: ['operator'],
  permission: 'signed_in',
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: meSchema,
  faults: [],
  async run({ deps, caller }) {
    const person = caller.kind === 'person' || caller.kind === 'operator' ? caller.person : null
    if (person === null)
      throw new FaultError(fault('forbidden', 'The operator token is nobody in particular.'))
    const roles = await deps.tenancy.membershipsOf(person.id)
    const organizations = await Promise.all(
      [...roles].map(async ([orgId, role]) => ({
        organization: formatId('org', orgId),
        name: (await deps.tenancy.getOrganization(orgId))?.name ?? '',
        role,
        permissions: PERMISSIONS.filter((permission) => ROLE_PERMISSIONS[role].has(permission)),
      })),
    )
    return {
      person: formatId('usr', person.id),
      email: person.email,
      name: person.name,
      operator: person.operatorRole,
      organizations,
    }
  },
})
