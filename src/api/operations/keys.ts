import { z } from 'zod'
import {
  apiKeyChangeSchema,
  apiKeyPageSchema,
  apiKeySchema,
  createdApiKeySchema,
  FaultError,
  fault,
  keyAccessSchema,
  keyRotationSchema,
  keysQuery,
  listOf,
  newApiKeySchema,
} from '../../contract/index.ts'
import { assert, formatId, formatNano, type Uuid } from '../../kernel/index.ts'
import {
  type Actor,
  type ApiKeyInfo,
  type KeyChange,
  keyRefusal,
  type StoredKeyState,
} from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { MadeBefore } from '../once.ts'
import { type Caller, operation } from '../operation.ts'
import { cursorOf, idOf, notFound, pageOf, scopeOf } from '../scope.ts'
import { apiKeyView } from '../views.ts'
import { keyTerms } from './key-terms.ts'
import { modelsFor } from './list-models.ts'

const byId = z.strictObject({ id: z.string() })
const nothing = z.strictObject({})

const revoked = (): FaultError =>
  new FaultError(fault('conflict', 'The API key is revoked, and stays so. Make a new key.'))

/** A key sees itself; another's, also of its own project, and none are one answer. */
async function keyOf(deps: ApiDeps, caller: Caller, text: string): Promise<ApiKeyInfo> {
  const id = idOf('key', text)
  if (caller.kind === 'key' && caller.key.id !== id) throw notFound()
  const key = await deps.tenancy.getKey(id)
  if (key === null) throw notFound()
  return key
}

export const listKeys = operation({
  id: 'listKeys',
  method: 'GET',
  path: '/api/v1/keys',
  summary: 'API keys, newest first, without their secrets',
  callers: ['operator'],
  permission: 'keys.read',
  params: nothing,
  query: keysQuery,
  body: null,
  response: listOf(apiKeySchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const scope = await scopeOf(deps, caller, query)
    const before = cursorOf('key', query.cursor)
    const filter = {
      state: query.state ?? null,
      prefix: query.prefix ?? null,
      labelPrefix: query.label_prefix ?? null,
    }
    const rows = await deps.tenancy.listKeys({ ...scope, ...filter, limit: query.limit + 1, before })
    return pageOf('key', rows, query.limit, apiKeyView)
  },
})

export const createKey = operation({
  id: 'createKey',
  method: 'POST',
  path: '/api/v1/keys',
  summary: 'Makes an API key; its secret is in this answer and never again',
  callers: ['operator'],
  permission: 'keys.write',
  secret: true,
  params: nothing,
  query: nothing,
  body: newApiKeySchema,
  response: createdApiKeySchema,
  status: 201,
  faults: ['not_found'],
  async run({ deps, by, newId, body }) {
    const { project, ...sent } = body
    const made = await deps.tenancy.createKey(
      {
        label: '',
        policy: 'ordinary_then_official',
        allowCrossBalance: false,
        models: null,
        routes: null,
        expiresAtMs: null,
        ...keyTerms(deps, sent),
        id: newId,
        projectId: idOf('prj', project),
      },
      by,
    )
    if (made !== null) return { ...apiKeyView(made.key), key: made.secret }
    if ((await deps.tenancy.getKey(newId)) !== null) throw new MadeBefore(formatId('key', newId))
    throw notFound()
  },
})

export const getKey = operation({
  id: 'getKey',
  method: 'GET',
  path: '/api/v1/keys/{id}',
  summary: 'One API key: what it may do, what it has spent, how its requests of the last day ended',
  callers: ['operator', 'key'],
  permission: 'keys.read',
  params: byId,
  query: nothing,
  body: null,
  response: apiKeyPageSchema,
  faults: ['not_found'],
  async run({ deps, caller, params }) {
    const key = await keyOf(deps, caller, params.id)
    const { totals, lastDay } = await deps.receipts.keyUsage(key, deps.clock.nowMs())
    return {
      ...apiKeyView(key),
      spend: Object.fromEntries(
        totals.map(({ bucket, currency, chargedNano, requests }) => [
          bucket,
          { currency, charged: formatNano(chargedNano), requests },
        ]),
      ),
      last_24_hours: {
        requests: Object.values(lastDay).reduce((sum, count) => sum + count, 0),
        failed: lastDay['failed'] ?? 0,
        refused: lastDay['refused'] ?? 0,
        cancelled: lastDay['cancelled'] ?? 0,
      },
    }
  },
})

export const getKeyAccess = operation({
  id: 'getKeyAccess',
  method: 'GET',
  path: '/api/v1/keys/{id}/access',
  summary:
    'Every model and route: whether this key can call it now, at what price, from which balance, and why not',
  callers: ['operator', 'key'],
  permission: 'keys.read',
  params: byId,
  query: nothing,
  body: null,
  response: keyAccessSchema,
  faults: ['not_found'],
  async run({ deps, caller, params }) {
    const key = await keyOf(deps, caller, params.id)
    // Where it will be called from is not known here; the networks are told by the key itself.
    const refusal = keyRefusal({ ...key, networks: null }, () => null)
    const inactive =
      key.state === 'revoked' || key.state === 'expired' ? `The API key is ${key.state}.` : null
    return {
      key: formatId('key', key.id),
      usable: refusal === null,
      reason: inactive ?? refusal?.message ?? null,
      models: await modelsFor(deps, { kind: 'key', key }),
    }
  },
})

async function change(deps: ApiDeps, by: Actor, text: string, what: KeyChange) {
  const changed = await deps.tenancy.changeKey(idOf('key', text), what, by)
  if (changed.ok) return apiKeyView(changed.key)
  throw changed.reason === 'unknown' ? notFound() : revoked()
}

export const changeKey = operation({
  id: 'changeKey',
  method: 'PATCH',
  path: '/api/v1/keys/{id}',
  summary: 'Changes what an API key may do; in every process at once. A revoked key stays revoked',
  callers: ['operator'],
  permission: 'keys.write',
  params: byId,
  query: nothing,
  body: apiKeyChangeSchema,
  response: apiKeySchema,
  faults: ['not_found', 'conflict'],
  run({ deps, by, params, body }) {
    const { state, ...sent } = body
    const what = { ...keyTerms(deps, sent), ...(state === undefined ? {} : { state }) }
    return change(deps, by, params.id, what)
  },
})

function stateOperation<Id extends string>(id: Id, word: string, state: StoredKeyState, summary: string) {
  return operation({
    id,
    method: 'POST',
    path: `/api/v1/keys/{id}/${word}`,
    summary,
    callers: ['operator'],
    permission: 'keys.write',
    params: byId,
    query: nothing,
    body: null,
    response: apiKeySchema,
    faults: ['not_found', 'conflict'],
    run: ({ deps, by, params }) => change(deps, by, params.id, { state }),
  })
}

export const pauseKey = stateOperation(
  'pauseKey',
  'pause',
  'paused',
  'Refuses new requests of an API key until it is resumed; those in flight end and are charged',
)
export const resumeKey = stateOperation(
  'resumeKey',
  'resume',
  'active',
  'Lets a paused API key be used again',
)
export const revokeKey = stateOperation(
  'revokeKey',
  'revoke',
  'revoked',
  'Ends an API key for ever, with all its secrets; requests in flight end and are charged',
)

export const rotateKey = operation({
  id: 'rotateKey',
  method: 'POST',
  path: '/api/v1/keys/{id}/rotate',
  summary: 'Gives an API key a new secret, shown once; those before are good until the overlap ends',
  callers: ['operator'],
  permission: 'keys.write',
  secret: true,
  params: byId,
  query: nothing,
  body: keyRotationSchema,
  response: createdApiKeySchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, newId, params, body }) {
    const id: Uuid = idOf('key', params.id)
    const rotation = { overlapSeconds: body.overlap_seconds, secretId: newId }
    const rotated = await deps.tenancy.rotateKey(id, rotation, by)
    if (rotated.ok) return { ...apiKeyView(rotated.key), key: rotated.secret }
    if (rotated.reason === 'unknown') throw notFound()
    throw rotated.reason === 'revoked' ? revoked() : new MadeBefore(formatId('sec', newId))
  },
})

export const revokeSecret = operation({
  id: 'revokeSecret',
  method: 'POST',
  path: '/api/v1/keys/{id}/secrets/{secret}/revoke',
  summary: 'Ends one secret of an API key now; the others stay good',
  callers: ['operator'],
  permission: 'keys.write',
  params: z.strictObject({ id: z.string(), secret: z.string() }),
  query: nothing,
  body: null,
  response: apiKeySchema,
  faults: ['not_found'],
  async run({ deps, by, params }) {
    const changed = await deps.tenancy.revokeSecret(idOf('key', params.id), idOf('sec', params.secret), by)
    if (!changed.ok) {
      assert(changed.reason === 'unknown', 'a secret is ended whatever the state of its key')
      throw notFound()
    }
    return apiKeyView(changed.key)
  },
})
