import { z } from 'zod'
import {
  FaultError,
  fault,
  listOf,
  newRateLimitSchema,
  rateLimitChangeSchema,
  rateLimitSchema,
  rateLimitsQuery,
} from '../../contract/index.ts'
import type { RateLimit, RateStore } from '../../rates/index.ts'
import type { ApiDeps } from '../deps.ts'
import { type Caller, operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, idOf, notFound, pageOf } from '../scope.ts'
import { rateLimitView } from '../views.ts'
import { assertOwn, limitsFilter, placeOf, seenBy } from './limit-scope.ts'

const idParams = z.strictObject({ id: z.string() })
const noQuery = z.strictObject({})

async function found(deps: ApiDeps, caller: Caller, text: string): Promise<RateLimit> {
  const limit = await deps.rates.get(idOf('rl', text), seenBy(caller))
  if (limit === null || (caller.kind === 'key' && caller.key.orgId !== limit.orgId)) throw notFound()
  return limit
}

function nothingLimited(): InvalidRequest {
  const message = 'name at least one of requests_per_minute, tokens_per_minute and concurrency'
  return new InvalidRequest('body', [{ field: 'requests_per_minute', message }])
}

function altered(changed: Awaited<ReturnType<RateStore['change']>>) {
  if (changed.ok) return rateLimitView(changed.limit)
  if (changed.reason === 'unknown') throw notFound()
  if (changed.reason === 'empty') throw nothingLimited()
  throw new FaultError(fault('conflict', 'The rate limit has ended. Make a new one.'))
}

export const listRateLimits = operation({
  id: 'listRateLimits',
  method: 'GET',
  path: '/api/v1/rate-limits',
  summary: 'Rate limits, newest first; a key sees those it falls under',
  callers: ['operator', 'key'],
  permission: 'limits.read',
  params: z.strictObject({}),
  query: rateLimitsQuery,
  body: null,
  response: listOf(rateLimitSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const filter = await limitsFilter(deps, caller, query)
    const rows = await deps.rates.list({ ...filter, before: cursorOf('rl', query.cursor) })
    return pageOf('rl', rows, query.limit, rateLimitView)
  },
})

export const createRateLimit = operation({
  id: 'createRateLimit',
  method: 'POST',
  path: '/api/v1/rate-limits',
  summary: 'Limits requests and tokens a minute, and requests at one time; in force at once',
  callers: ['operator'],
  permission: 'limits.write',
  params: z.strictObject({}),
  query: noQuery,
  body: newRateLimitSchema,
  response: rateLimitSchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, body, by, newId }) {
    const amounts = {
      requests_per_minute: body.requests_per_minute ?? null,
      tokens_per_minute: body.tokens_per_minute ?? null,
      concurrency: body.concurrency ?? null,
    }
    if (Object.values(amounts).every((amount) => amount === null)) throw nothingLimited()
    const place = await placeOf(deps, body)
    const before = await deps.rates.get(newId)
    const made = before ?? (await deps.rates.make({ ...place, id: newId, scope: body.scope, amounts }, by))
    if (made === null)
      throw new FaultError(
        fault('conflict', 'A rate limit of that scope is in force. Change it, or end it first.'),
      )
    return rateLimitView(made)
  },
})

export const getRateLimit = operation({
  id: 'getRateLimit',
  method: 'GET',
  path: '/api/v1/rate-limits/{id}',
  summary: 'One rate limit',
  callers: ['operator', 'key'],
  permission: 'limits.read',
  params: idParams,
  query: noQuery,
  body: null,
  response: rateLimitSchema,
  faults: ['not_found'],
  run: async ({ deps, caller, params }) => rateLimitView(await found(deps, caller, params.id)),
})

export const changeRateLimit = operation({
  id: 'changeRateLimit',
  method: 'PATCH',
  path: '/api/v1/rate-limits/{id}',
  summary: 'Changes what is named; null takes that limit away. What is used stays',
  callers: ['operator'],
  permission: 'limits.write',
  params: idParams,
  query: noQuery,
  body: rateLimitChangeSchema,
  response: rateLimitSchema,
  faults: ['not_found', 'conflict', 'scope_exceeds_creator'],
  async run({ deps, caller, params, body, by }) {
    const limit = await found(deps, caller, params.id)
    assertOwn(caller, limit)
    const { id, amounts } = limit
    const { requests_per_minute, tokens_per_minute, concurrency } = body
    return altered(
      await deps.rates.change(
        id,
        {
          requests_per_minute:
            requests_per_minute === undefined ? amounts.requests_per_minute : requests_per_minute,
          tokens_per_minute: tokens_per_minute === undefined ? amounts.tokens_per_minute : tokens_per_minute,
          concurrency: concurrency === undefined ? amounts.concurrency : concurrency,
        },
        by,
      ),
    )
  },
})

export const endRateLimit = operation({
  id: 'endRateLimit',
  method: 'DELETE',
  path: '/api/v1/rate-limits/{id}',
  summary: 'Ends a rate limit; its record stays',
  callers: ['operator'],
  permission: 'limits.write',
  params: idParams,
  query: noQuery,
  body: null,
  response: rateLimitSchema,
  faults: ['not_found', 'conflict', 'scope_exceeds_creator'],
  async run({ deps, caller, params, by }) {
    const limit = await found(deps, caller, params.id)
    assertOwn(caller, limit)
    return altered(await deps.rates.end(limit.id, by))
  },
})
