import { z } from 'zod'
import {
  createdWebhookSchema,
  deliverySchema,
  endableQuery,
  FaultError,
  fault,
  listOf,
  newWebhookSchema,
  type WebhookView,
  webhookChangeSchema,
  webhookRotationSchema,
  webhookSchema,
} from '../../contract/index.ts'
import { formatId, isoTime, type Json, type Uuid } from '../../kernel/index.ts'
import { type Actor, recordEvent } from '../../tenancy/index.ts'
import type { Endpoint, EndpointTerms } from '../../webhooks/index.ts'
import type { ApiDeps } from '../deps.ts'
import { MadeBefore } from '../once.ts'
import { operation } from '../operation.ts'
import { cursorOf, idOf, notFound, organizationOf, pageOf, scopeOf } from '../scope.ts'
import { deliveryView, endpointOf } from './deliveries.ts'

const nothing = z.strictObject({})
const byId = z.strictObject({ id: z.string() })
const timeOf = (ms: number | null): string | null => (ms === null ? null : isoTime(ms))

function webhookView(endpoint: Endpoint): WebhookView {
  return {
    id: formatId('whk', endpoint.id),
    organization: formatId('org', endpoint.orgId),
    project: endpoint.projectId === null ? null : formatId('prj', endpoint.projectId),
    url: endpoint.url,
    description: endpoint.description,
    types: [...endpoint.types],
    emails: [...endpoint.emails],
    language: endpoint.language,
    state: endpoint.state,
    failing_since: timeOf(endpoint.failingSinceMs),
    secrets: endpoint.secrets.map(({ id, createdAtMs, endsAtMs }) => ({
      id: formatId('sec', id),
      created_at: isoTime(createdAtMs),
      ends_at: timeOf(endsAtMs),
    })),
    created_at: isoTime(endpoint.createdAtMs),
  }
}

/** Path and query of a URL are as good as a secret to many receivers, so the log of changes names the host alone. */
function logged(endpoint: Endpoint | null): Json {
  if (endpoint === null) return null
  const { url, types, projectId, description, emails, language, state } = endpoint
  return {
    url: new URL(url).origin,
    types,
    project: projectId === null ? null : formatId('prj', projectId),
    description,
    emails,
    language,
    state,
  }
}

function told(by: Actor, action: string) {
  return async (
    tx: Parameters<typeof recordEvent>[0],
    before: Endpoint | null,
    after: Endpoint,
  ): Promise<void> => {
    const { orgId, id: objectId } = after
    const change = { before: logged(before), after: logged(after) }
    await recordEvent(tx, by, { orgId, action, objectKind: 'webhook', objectId, ...change })
  }
}

async function urlOf(deps: ApiDeps, text: string): Promise<string> {
  const url = await deps.webhooks.checkTarget(text)
  if (typeof url === 'string') throw new FaultError(fault('url_not_allowed', `url ${url}.`, { param: 'url' }))
  return url.href
}

async function projectOf(deps: ApiDeps, orgId: Uuid, text: string | null): Promise<Uuid | null> {
  if (text === null) return null
  const project = await deps.tenancy.getProject(idOf('prj', text))
  if (project === null || project.orgId !== orgId) throw notFound()
  return project.id
}

const ended = (): FaultError => new FaultError(fault('conflict', 'The webhook has ended. Make a new one.'))

/** Each event is written once for each of them, and each may hang. */
const WEBHOOKS_MAX = 50

async function assertRoom(deps: ApiDeps, orgId: Uuid): Promise<void> {
  const live = await deps.webhooks.endpoints.list({ orgId, ended: false, before: null, limit: WEBHOOKS_MAX })
  if (live.length < WEBHOOKS_MAX) return
  const message = `The organization has ${WEBHOOKS_MAX} webhooks, which is the most. End one first.`
  throw new FaultError(fault('conflict', message))
}

export const listWebhooks = operation({
  id: 'listWebhooks',
  method: 'GET',
  path: '/api/v1/webhooks',
  summary: 'Webhook endpoints, newest first, without their secrets',
  callers: ['operator'],
  permission: 'webhooks.read',
  params: nothing,
  query: endableQuery,
  body: null,
  response: listOf(webhookSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const { orgId } = await scopeOf(deps, caller, { organization: query.organization })
    const rows = await deps.webhooks.endpoints.list({
      orgId,
      ended: query.ended === 'true',
      before: cursorOf('whk', query.cursor),
      limit: query.limit + 1,
    })
    return pageOf('whk', rows, query.limit, webhookView)
  },
})

export const createWebhook = operation({
  id: 'createWebhook',
  method: 'POST',
  path: '/api/v1/webhooks',
  summary: 'Makes a webhook endpoint; its secret is in this answer and never again',
  callers: ['operator'],
  permission: 'webhooks.write',
  secret: true,
  params: nothing,
  query: nothing,
  body: newWebhookSchema,
  response: createdWebhookSchema,
  status: 201,
  faults: ['not_found', 'url_not_allowed', 'conflict'],
  async run({ deps, caller, by, newId, body }) {
    const orgId = await organizationOf(deps, caller, body.organization)
    await assertRoom(deps, orgId)
    const terms: EndpointTerms = {
      url: await urlOf(deps, body.url),
      types: [...new Set(body.types)],
      projectId: await projectOf(deps, orgId, body.project ?? null),
      description: body.description ?? '',
      emails: body.emails ?? [],
      language: body.language ?? 'en',
    }
    const made = await deps.webhooks.endpoints.make(
      { ...terms, orgId, id: newId },
      told(by, 'webhook.create'),
    )
    if (made === null) throw new MadeBefore(formatId('whk', newId))
    return { ...webhookView(made.endpoint), secret: made.secret }
  },
})

export const getWebhook = operation({
  id: 'getWebhook',
  method: 'GET',
  path: '/api/v1/webhooks/{id}',
  summary: 'One webhook endpoint',
  callers: ['operator'],
  permission: 'webhooks.read',
  params: byId,
  query: nothing,
  body: null,
  response: webhookSchema,
  faults: ['not_found'],
  run: async ({ deps, params }) => webhookView(await endpointOf(deps, params.id)),
})

export const changeWebhook = operation({
  id: 'changeWebhook',
  method: 'PATCH',
  path: '/api/v1/webhooks/{id}',
  summary: 'Changes a webhook endpoint, pauses it, or brings back one that was disabled',
  callers: ['operator'],
  permission: 'webhooks.write',
  params: byId,
  query: nothing,
  body: webhookChangeSchema,
  response: webhookSchema,
  faults: ['not_found', 'conflict', 'url_not_allowed'],
  async run({ deps, by, params, body }) {
    const endpoint = await endpointOf(deps, params.id)
    const { url, project, types, ...rest } = body
    const to = {
      ...rest,
      ...(url === undefined ? {} : { url: await urlOf(deps, url) }),
      ...(project === undefined ? {} : { projectId: await projectOf(deps, endpoint.orgId, project) }),
      ...(types === undefined ? {} : { types: [...new Set(types)] }),
    }
    const given = Object.fromEntries(Object.entries(to).filter(([, value]) => value !== undefined))
    const changed = await deps.webhooks.endpoints.change(endpoint.id, given, told(by, 'webhook.change'))
    if (changed === null) throw ended()
    deps.webhooks.wake()
    return webhookView(changed)
  },
})

export const endWebhook = operation({
  id: 'endWebhook',
  method: 'DELETE',
  path: '/api/v1/webhooks/{id}',
  summary: 'Ends a webhook endpoint; what was delivered stays on record, what waits is not sent',
  callers: ['operator'],
  permission: 'webhooks.write',
  params: byId,
  query: nothing,
  body: null,
  response: webhookSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, params }) {
    const { id } = await endpointOf(deps, params.id)
    const changed = await deps.webhooks.endpoints.change(id, { state: 'ended' }, told(by, 'webhook.end'))
    if (changed === null) throw ended()
    return webhookView(changed)
  },
})

export const rotateWebhook = operation({
  id: 'rotateWebhook',
  method: 'POST',
  path: '/api/v1/webhooks/{id}/rotate',
  summary: 'Gives a webhook a new secret, shown once; both sign until the overlap ends',
  callers: ['operator'],
  permission: 'webhooks.write',
  secret: true,
  params: byId,
  query: nothing,
  body: webhookRotationSchema,
  response: createdWebhookSchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, newId, params, body }) {
    const { id } = await endpointOf(deps, params.id)
    const log = told(by, 'webhook.rotate')
    const rotated = await deps.webhooks.endpoints.rotate(id, newId, body.overlap_seconds, log)
    if (rotated === null) throw ended()
    if (rotated === 'made') throw new MadeBefore(formatId('sec', newId))
    return { ...webhookView(rotated.endpoint), secret: rotated.secret }
  },
})

export const testWebhook = operation({
  id: 'testWebhook',
  method: 'POST',
  path: '/api/v1/webhooks/{id}/test',
  summary: 'Sends a webhook.test event to this endpoint alone, signed and retried like any other',
  callers: ['operator'],
  permission: 'webhooks.write',
  params: byId,
  query: nothing,
  body: null,
  response: deliverySchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, params }) {
    const endpoint = await endpointOf(deps, params.id)
    if (endpoint.state !== 'active')
      throw new FaultError(fault('conflict', `The webhook is ${endpoint.state}. Activate it first.`))
    const id = await deps.webhooks.endpoints.test(endpoint)
    deps.webhooks.wake()
    const sent = await deps.webhooks.log.get(endpoint.id, id)
    if (sent === null) throw notFound()
    return deliveryView(sent.delivery)
  },
})
