import { z } from 'zod'
import {
  type AcceptInvitation,
  type AlertRuleChange,
  type ApiKeyChange,
  alertRuleSchema,
  alertSchema,
  apiKeyPageSchema,
  apiKeySchema,
  auditEventSchema,
  auditSchema,
  type BudgetChange,
  balancesSchema,
  budgetSchema,
  channelSchema,
  createdApiKeySchema,
  createdInvitationSchema,
  createdWebhookSchema,
  deliveryPageSchema,
  deliverySchema,
  eventSchema,
  grantSchema,
  invitationSchema,
  type KeyRotation,
  keyAccessSchema,
  ledgerEntrySchema,
  listOf,
  type MemberChange,
  memberSchema,
  meSchema,
  modelSchema,
  type NewAlertRule,
  type NewApiKey,
  type NewBudget,
  type NewGrant,
  type NewInvitation,
  type NewOperator,
  type NewOrganization,
  type NewProject,
  type NewRateLimit,
  type NewRun,
  type NewWebhook,
  type OrganizationChange,
  operatorLinkSchema,
  operatorSchema,
  organizationSchema,
  type ProjectChange,
  priceVersionSchema,
  problemSchema,
  projectSchema,
  type RateLimitChange,
  rateLimitSchema,
  readinessSchema,
  receiptSchema,
  replayedSchema,
  routeSchema,
  runSchema,
  runSummarySchema,
  usageSchema,
  type WebhookChange,
  webhookSchema,
} from '../contract/index.ts'
import { errorText, type Json, parseJson } from '../kernel/index.ts'
import { ClientError } from './client-error.ts'

/** The management API as functions. Every method rejects with a ClientError and nothing else. */

export interface ClientOptions {
  /** `http://127.0.0.1:8700`, with or without a trailing slash. */
  readonly baseUrl: string
  /** An operator token or an API key. */
  readonly token: string
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

/** Query parameters by the names of the API; what is undefined is not sent. */
export type Query = Readonly<Record<string, string | number | undefined>>

export type Client = ReturnType<typeof createClient>

const TIMEOUT_MS = 30_000
const REFUSED = new Set(['ECONNREFUSED', 'ENOENT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND'])

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** fetch says only that it failed; why is in the cause. */
function causeOf(thrown: unknown): unknown {
  return thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
}

function unreachable(thrown: unknown, baseUrl: string): ClientError {
  if (thrown instanceof Error && thrown.name === 'TimeoutError')
    return new ClientError('timeout', `${baseUrl} did not answer in time.`)
  if (REFUSED.has(codeOf(causeOf(thrown))))
    return new ClientError(
      'unreachable',
      `Nothing answers at ${baseUrl}: is the gateway running? Start it with npm start. If it runs at another port, set FORGE_PORT or give --url.`,
    )
  return new ClientError('unreachable', `${baseUrl} cannot be reached: ${errorText(causeOf(thrown))}`)
}

function pathOf(path: string, query: Query): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value))
  return search.size === 0 ? path : `${path}?${search}`
}

function failure(response: Response, text: string): ClientError {
  const parsed = parseJson(text)
  const problem = problemSchema.safeParse(parsed.ok ? parsed.value : null)
  if (!problem.success)
    return new ClientError('unexpected', `The server answered ${response.status} in a form that is not ours.`)
  return new ClientError('refused', problem.data.detail, problem.data)
}

/**
 * The answer as it came, once it is known to have the shape: fields that this client does not know yet are kept.
 */
function typed<S extends z.ZodType>(schema: S, value: Json): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return value as z.output<S>
  const place = result.error.issues[0]?.path.map(String).join('.') ?? ''
  throw new ClientError(
    'unexpected',
    `The answer of the server has another shape than this client knows (${place}).`,
  )
}

function createRequest(options: ClientOptions) {
  const baseUrl = options.baseUrl.replace(/\/+$/, '')
  const send = options.fetch ?? fetch
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS

  return async <S extends z.ZodType>(
    schema: S,
    method: Method,
    path: string,
    more: { readonly query?: Query; readonly body?: unknown; readonly alsoStatus?: number } = {},
  ): Promise<z.output<S>> => {
    const headers: Record<string, string> = {
      authorization: `Bearer ${options.token}`,
      accept: 'application/json',
    }
    if (more.body !== undefined) headers['content-type'] = 'application/json'
    let response: Response
    let text: string
    try {
      response = await send(`${baseUrl}${pathOf(path, more.query ?? {})}`, {
        method,
        headers,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
        ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
      })
      text = await response.text()
    } catch (thrown) {
      throw unreachable(thrown, baseUrl)
    }
    if (!response.ok && response.status !== more.alsoStatus) throw failure(response, text)
    // Exports are text.
    if (schema instanceof z.ZodString) return text as z.output<S>
    const parsed = parseJson(text)
    if (!parsed.ok)
      throw new ClientError('unexpected', `The answer of ${baseUrl} is not JSON: is it this gateway?`)
    return typed(schema, parsed.value)
  }
}

const part = encodeURIComponent

type Request = ReturnType<typeof createRequest>

function peopleMethods(request: Request) {
  return {
    getMe: () => request(meSchema, 'GET', '/api/v1/me'),
    listMembers: (query: Query = {}) => request(listOf(memberSchema), 'GET', '/api/v1/members', { query }),
    changeMember: (organization: string, person: string, body: MemberChange) =>
      request(memberSchema, 'PATCH', `/api/v1/organizations/${part(organization)}/members/${part(person)}`, {
        body,
      }),
    removeMember: (organization: string, person: string) =>
      request(memberSchema, 'DELETE', `/api/v1/organizations/${part(organization)}/members/${part(person)}`),
    leaveOrganization: (organization: string) =>
      request(memberSchema, 'POST', `/api/v1/organizations/${part(organization)}/leave`),
    listInvitations: (query: Query = {}) =>
      request(listOf(invitationSchema), 'GET', '/api/v1/invitations', { query }),
    createInvitation: (body: NewInvitation) =>
      request(createdInvitationSchema, 'POST', '/api/v1/invitations', { body }),
    acceptInvitation: (body: AcceptInvitation) =>
      request(memberSchema, 'POST', '/api/v1/invitations/accept', { body }),
    revokeInvitation: (id: string) => request(invitationSchema, 'DELETE', `/api/v1/invitations/${part(id)}`),
  }
}

/** Events, alerts and webhooks. */
function notificationsOf(request: Request) {
  const webhook = (id: string, rest = ''): string => `/api/v1/webhooks/${part(id)}${rest}`
  const rule = (id: string): string => `/api/v1/alert-rules/${part(id)}`
  return {
    listEvents: (query: Query = {}) => request(listOf(eventSchema), 'GET', '/api/v1/events', { query }),
    listAlerts: (query: Query = {}) => request(listOf(alertSchema), 'GET', '/api/v1/alerts', { query }),
    getAlert: (id: string) => request(alertSchema, 'GET', `/api/v1/alerts/${part(id)}`),
    acknowledgeAlert: (id: string) => request(alertSchema, 'POST', `/api/v1/alerts/${part(id)}/acknowledge`),
    listAlertRules: (query: Query = {}) =>
      request(listOf(alertRuleSchema), 'GET', '/api/v1/alert-rules', { query }),
    createAlertRule: (body: NewAlertRule) =>
      request(alertRuleSchema, 'POST', '/api/v1/alert-rules', { body }),
    getAlertRule: (id: string) => request(alertRuleSchema, 'GET', rule(id)),
    changeAlertRule: (id: string, body: AlertRuleChange) =>
      request(alertRuleSchema, 'PATCH', rule(id), { body }),
    endAlertRule: (id: string) => request(alertRuleSchema, 'DELETE', rule(id)),
    listWebhooks: (query: Query = {}) => request(listOf(webhookSchema), 'GET', '/api/v1/webhooks', { query }),
    createWebhook: (body: NewWebhook) => request(createdWebhookSchema, 'POST', '/api/v1/webhooks', { body }),
    getWebhook: (id: string) => request(webhookSchema, 'GET', webhook(id)),
    changeWebhook: (id: string, body: WebhookChange) =>
      request(webhookSchema, 'PATCH', webhook(id), { body }),
    endWebhook: (id: string) => request(webhookSchema, 'DELETE', webhook(id)),
    rotateWebhook: (id: string, body: { readonly overlap_seconds?: number }) =>
      request(createdWebhookSchema, 'POST', webhook(id, '/rotate'), { body }),
    testWebhook: (id: string) => request(deliverySchema, 'POST', webhook(id, '/test')),
    listDeliveries: (id: string, query: Query = {}) =>
      request(listOf(deliverySchema), 'GET', webhook(id, '/deliveries'), { query }),
    getDelivery: (id: string, delivery: string) =>
      request(deliveryPageSchema, 'GET', webhook(id, `/deliveries/${part(delivery)}`)),
    replayDelivery: (id: string, delivery: string) =>
      request(deliverySchema, 'POST', webhook(id, `/deliveries/${part(delivery)}/replay`)),
    replayFailed: (id: string, body: { readonly since: string }) =>
      request(replayedSchema, 'POST', webhook(id, '/replay'), { body }),
  }
}

/** What can be asked of models, what was, and what it cost. */
function requestMethods(request: Request) {
  return {
    getReceipt: (id: string) => request(receiptSchema, 'GET', `/api/v1/receipts/${part(id)}`),
    listReceipts: (query: Query = {}) => request(listOf(receiptSchema), 'GET', '/api/v1/receipts', { query }),
    listModels: () => request(listOf(modelSchema), 'GET', '/api/v1/models'),
    listChannels: (query: Query = {}) => request(listOf(channelSchema), 'GET', '/api/v1/channels', { query }),
    getChannel: (name: string) => request(channelSchema, 'GET', `/api/v1/channels/${part(name)}`),
    listRoutes: (query: Query = {}) => request(listOf(routeSchema), 'GET', '/api/v1/routes', { query }),
    listPrices: (query: Query = {}) =>
      request(listOf(priceVersionSchema), 'GET', '/api/v1/prices', { query }),
    exportReceipts: (query: Query = {}) => request(z.string(), 'GET', '/api/v1/receipts/export', { query }),
    exportUsage: (query: Query = {}) => request(z.string(), 'GET', '/api/v1/usage/export', { query }),
    exportAuditEvents: (query: Query = {}) => request(z.string(), 'GET', '/api/v1/audit/export', { query }),
    getUsage: (query: Query = {}) => request(usageSchema, 'GET', '/api/v1/usage', { query }),
  }
}

export function createClient(options: ClientOptions) {
  const request = createRequest(options)
  return {
    ...peopleMethods(request),
    ...notificationsOf(request),
    ...requestMethods(request),
    getBalances: (query: Query = {}) => request(balancesSchema, 'GET', '/api/v1/balances', { query }),
    listLedgerEntries: (query: Query) =>
      request(listOf(ledgerEntrySchema), 'GET', '/api/v1/ledger/entries', { query }),
    listRuns: (query: Query = {}) => request(listOf(runSummarySchema), 'GET', '/api/v1/runs', { query }),
    getRun: (id: string) => request(runSchema, 'GET', `/api/v1/runs/${part(id)}`),
    createRun: (body: NewRun) => request(runSchema, 'POST', '/api/v1/runs', { body }),
    listBudgets: (query: Query = {}) => request(listOf(budgetSchema), 'GET', '/api/v1/budgets', { query }),
    createBudget: (body: NewBudget) => request(budgetSchema, 'POST', '/api/v1/budgets', { body }),
    getBudget: (id: string) => request(budgetSchema, 'GET', `/api/v1/budgets/${part(id)}`),
    changeBudget: (id: string, body: BudgetChange) =>
      request(budgetSchema, 'PATCH', `/api/v1/budgets/${part(id)}`, { body }),
    endBudget: (id: string) => request(budgetSchema, 'DELETE', `/api/v1/budgets/${part(id)}`),
    listRateLimits: (query: Query = {}) =>
      request(listOf(rateLimitSchema), 'GET', '/api/v1/rate-limits', { query }),
    createRateLimit: (body: NewRateLimit) =>
      request(rateLimitSchema, 'POST', '/api/v1/rate-limits', { body }),
    getRateLimit: (id: string) => request(rateLimitSchema, 'GET', `/api/v1/rate-limits/${part(id)}`),
    changeRateLimit: (id: string, body: RateLimitChange) =>
      request(rateLimitSchema, 'PATCH', `/api/v1/rate-limits/${part(id)}`, { body }),
    endRateLimit: (id: string) => request(rateLimitSchema, 'DELETE', `/api/v1/rate-limits/${part(id)}`),
    listOrganizations: (query: Query = {}) =>
      request(listOf(organizationSchema), 'GET', '/api/v1/organizations', { query }),
    createOrganization: (body: NewOrganization) =>
      request(organizationSchema, 'POST', '/api/v1/organizations', { body }),
    getOrganization: (id: string) => request(organizationSchema, 'GET', `/api/v1/organizations/${part(id)}`),
    changeOrganization: (id: string, body: OrganizationChange) =>
      request(organizationSchema, 'PATCH', `/api/v1/organizations/${part(id)}`, { body }),
    getProject: (id: string) => request(projectSchema, 'GET', `/api/v1/projects/${part(id)}`),
    listProjects: (query: Query = {}) => request(listOf(projectSchema), 'GET', '/api/v1/projects', { query }),
    createProject: (body: NewProject) => request(projectSchema, 'POST', '/api/v1/projects', { body }),
    listKeys: (query: Query = {}) => request(listOf(apiKeySchema), 'GET', '/api/v1/keys', { query }),
    createKey: (body: NewApiKey) => request(createdApiKeySchema, 'POST', '/api/v1/keys', { body }),
    getKey: (id: string) => request(apiKeyPageSchema, 'GET', `/api/v1/keys/${part(id)}`),
    getKeyAccess: (id: string) => request(keyAccessSchema, 'GET', `/api/v1/keys/${part(id)}/access`),
    rotateKey: (id: string, body: KeyRotation) =>
      request(createdApiKeySchema, 'POST', `/api/v1/keys/${part(id)}/rotate`, { body }),
    pauseKey: (id: string) => request(apiKeySchema, 'POST', `/api/v1/keys/${part(id)}/pause`),
    resumeKey: (id: string) => request(apiKeySchema, 'POST', `/api/v1/keys/${part(id)}/resume`),
    revokeKey: (id: string) => request(apiKeySchema, 'POST', `/api/v1/keys/${part(id)}/revoke`),
    revokeSecret: (id: string, secret: string) =>
      request(apiKeySchema, 'POST', `/api/v1/keys/${part(id)}/secrets/${part(secret)}/revoke`),
    listOperators: () => request(listOf(operatorSchema), 'GET', '/api/v1/operators'),
    putOperator: (body: NewOperator) => request(operatorSchema, 'POST', '/api/v1/operators', { body }),
    removeOperator: (id: string) => request(operatorSchema, 'DELETE', `/api/v1/operators/${part(id)}`),
    createOperatorLink: () => request(operatorLinkSchema, 'POST', '/api/v1/operator-links'),
    listAuditEvents: (query: Query = {}) =>
      request(listOf(auditEventSchema), 'GET', '/api/v1/audit', { query }),
    changeProject: (id: string, body: ProjectChange) =>
      request(projectSchema, 'PATCH', `/api/v1/projects/${part(id)}`, { body }),
    changeKey: (id: string, body: ApiKeyChange) =>
      request(apiKeySchema, 'PATCH', `/api/v1/keys/${part(id)}`, { body }),
    /** Give it an `id`, and a repeat after a lost answer adds once. */
    createGrant: (body: NewGrant) => request(grantSchema, 'POST', '/api/v1/grants', { body }),
    getAudit: () => request(auditSchema, 'GET', '/api/v1/ledger/audit'),
    /** Answers also when the server is not ready; look at `ready`. */
    getReady: () => request(readinessSchema, 'GET', '/readyz', { alsoStatus: 503 }),
  }
}
