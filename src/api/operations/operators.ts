import { z } from 'zod'
import {
  FaultError,
  fault,
  listOf,
  newOperatorSchema,
  type OperatorView,
  operatorLinkSchema,
  operatorSchema,
} from '../../contract/index.ts'
import type { Operator, OperatorChanged } from '../../identity/index.ts'
import { formatId } from '../../kernel/index.ts'
import { operation } from '../operation.ts'
import { idOf } from '../scope.ts'

/** People who operate the installation: who they are, and one-time links by which further ones enter. */

const viewOf = (operator: Operator): OperatorView => ({
  id: formatId('usr', operator.id),
  email: operator.email,
  name: operator.name,
  role: operator.role,
  two_factor: operator.twoFactor,
  created_at: operator.createdAt.toISOString(),
})

function changedOperator(changed: OperatorChanged): OperatorView {
  if (changed.ok) return viewOf(changed.operator)
  throw new FaultError(
    changed.reason === 'last_admin'
      ? fault('conflict', 'This is the last admin; make another one first.')
      : fault(
          'not_found',
          'There is no such person with an account here, or the address was never confirmed.',
        ),
  )
}

export const listOperators = operation({
  id: 'listOperators',
  method: 'GET',
  path: '/api/v1/operators',
  summary: 'People who operate this installation, the first one first',
  callers: ['operator'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: listOf(operatorSchema),
  faults: [],
  async run({ deps }) {
    return { data: (await deps.identity.operators.list()).map(viewOf), next_cursor: null }
  },
})

export const putOperator = operation({
  id: 'putOperator',
  method: 'POST',
  path: '/api/v1/operators',
  summary: 'Makes a person an operator, or gives an operator another role; in effect at once',
  callers: ['operator'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: newOperatorSchema,
  response: operatorSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, body }) {
    return changedOperator(await deps.identity.operators.put(body.email, body.role, by))
  },
})

export const removeOperator = operation({
  id: 'removeOperator',
  method: 'DELETE',
  path: '/api/v1/operators/{id}',
  summary: 'Ends that a person is an operator, at once; the account stays, and so does the last admin',
  callers: ['operator'],
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: null,
  response: operatorSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, params }) {
    return changedOperator(await deps.identity.operators.remove(idOf('usr', params.id), by))
  },
})

export const createOperatorLink = operation({
  id: 'createOperatorLink',
  method: 'POST',
  path: '/api/v1/operator-links',
  summary: 'Makes a one-time link by which a person becomes an operator',
  callers: ['operator'],
  secret: true,
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: operatorLinkSchema,
  status: 201,
  faults: [],
  async run({ deps, by, newId }) {
    const made = { action: 'operator_link.create', objectKind: 'operator_link', objectId: newId } as const
    await deps.tenancy.recordAsked(by, { orgId: null, ...made })
    return { url: await deps.operatorLink() }
  },
})
