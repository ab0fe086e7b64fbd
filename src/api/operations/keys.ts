import { z } from 'zod'
import {
  apiKeyChangeSchema,
  apiKeySchema,
  createdApiKeySchema,
  FaultError,
  fault,
  listOf,
  newApiKeySchema,
  projectPageQuery,
} from '../../contract/index.ts'
import { operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, idOf, notFound, pageOf, scopeOf } from '../scope.ts'
import { apiKeyView } from '../views.ts'
import { nameOf } from './name-of.ts'

function labelOf(text: string | undefined): string {
  return text === undefined || text === '' ? '' : nameOf(text, 'label')
}

/** @returns null for never */
function expiryOf(text: string | null | undefined, nowMs: number): number | null {
  if (text === undefined || text === null) return null
  const atMs = Date.parse(text)
  if (atMs <= nowMs) throw new InvalidRequest('body', [{ field: 'expires_at', message: 'has passed' }])
  return atMs
}

export const listKeys = operation({
  id: 'listKeys',
  method: 'GET',
  path: '/api/v1/keys',
  summary: 'API keys, newest first, without their secrets',
  callers: ['operator'],
  params: z.strictObject({}),
  query: projectPageQuery,
  body: null,
  response: listOf(apiKeySchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const scope = await scopeOf(deps, caller, query)
    const before = cursorOf('key', query.cursor)
    const rows = await deps.tenancy.listKeys({ ...scope, limit: query.limit + 1, before })
    return pageOf('key', rows, query.limit, apiKeyView)
  },
})

export const createKey = operation({
  id: 'createKey',
  method: 'POST',
  path: '/api/v1/keys',
  summary: 'Makes an API key; its secret is in this answer and never again',
  callers: ['operator'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: newApiKeySchema,
  response: createdApiKeySchema,
  status: 201,
  faults: ['not_found'],
  async run({ deps, body }) {
    const made = await deps.tenancy.createKey({
      projectId: idOf('prj', body.project),
      label: labelOf(body.label),
      policy: body.policy ?? 'ordinary_then_official',
      allowCrossBalance: body.allow_cross_balance ?? false,
      models: body.models ?? null,
      routes: body.routes ?? null,
      maxAttempts: body.max_attempts ?? null,
      expiresAtMs: expiryOf(body.expires_at, deps.clock.nowMs()),
    })
    if (made === null) throw notFound()
    return { ...apiKeyView(made.key), key: made.secret }
  },
})

export const changeKey = operation({
  id: 'changeKey',
  method: 'PATCH',
  path: '/api/v1/keys/{id}',
  summary: 'Pauses, resumes, revokes or relabels an API key; a revoked key stays revoked',
  callers: ['operator'],
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: apiKeyChangeSchema,
  response: apiKeySchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, params, body }) {
    const changed = await deps.tenancy.changeKey(idOf('key', params.id), {
      ...(body.state === undefined ? {} : { state: body.state }),
      ...(body.label === undefined ? {} : { label: labelOf(body.label) }),
    })
    if (changed.ok) return apiKeyView(changed.key)
    if (changed.reason === 'unknown') throw notFound()
    throw new FaultError(fault('conflict', 'The API key is revoked, and stays so. Make a new key.'))
  },
})
