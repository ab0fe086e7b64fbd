import { z } from 'zod'
import {
  alertRuleSchema,
  alertSchema,
  apiKeySchema,
  auditEventSchema,
  auditSchema,
  balancesSchema,
  budgetSchema,
  channelSchema,
  createdApiKeySchema,
  createdWebhookSchema,
  deliverySchema,
  ERRORS,
  type ErrorCode,
  eventSchema,
  grantSchema,
  invitationSchema,
  ledgerEntrySchema,
  memberSchema,
  modelSchema,
  operatorSchema,
  organizationSchema,
  priceSchema,
  priceVersionSchema,
  problemSchema,
  projectSchema,
  rateLimitSchema,
  readinessSchema,
  receiptSchema,
  routeSchema,
  runSchema,
  runSummarySchema,
  usageSchema,
  webhookSchema,
} from '../contract/index.ts'
import type { Caller, Operation } from './operation.ts'
import { OPERATIONS } from './operations/index.ts'

/** OpenAPI 3.1 from the very declarations that route and check the requests. */

type JsonSchema = Record<string, unknown>

/** Schemas that are worth a name of their own in the document. */
const NAMED = {
  Receipt: receiptSchema,
  Usage: usageSchema,
  Balances: balancesSchema,
  LedgerEntry: ledgerEntrySchema,
  Price: priceSchema,
  Model: modelSchema,
  Channel: channelSchema,
  Route: routeSchema,
  PriceVersion: priceVersionSchema,
  Run: runSchema,
  RunSummary: runSummarySchema,
  Organization: organizationSchema,
  Project: projectSchema,
  ApiKey: apiKeySchema,
  CreatedApiKey: createdApiKeySchema,
  Grant: grantSchema,
  Budget: budgetSchema,
  Member: memberSchema,
  Invitation: invitationSchema,
  AuditEvent: auditEventSchema,
  RateLimit: rateLimitSchema,
  Operator: operatorSchema,
  Event: eventSchema,
  Alert: alertSchema,
  AlertRule: alertRuleSchema,
  Webhook: webhookSchema,
  CreatedWebhook: createdWebhookSchema,
  Delivery: deliverySchema,
  Audit: auditSchema,
  Readiness: readinessSchema,
  Problem: problemSchema,
} as const satisfies Record<string, z.ZodType>

/** Before an operation looks at anything, these can end a request. */
const ALWAYS: readonly ErrorCode[] = ['internal_error', 'ledger_unavailable', 'key_in_url']
const WITH_CREDENTIAL: readonly ErrorCode[] = [
  'invalid_api_key',
  'too_many_failures',
  'api_key_paused',
  'forbidden',
]
/** Changes that are asked for with a session. */
const WITH_SESSION: readonly ErrorCode[] = ['csrf']
const WITH_INPUT: readonly ErrorCode[] = ['invalid_parameter']
const WITH_BODY: readonly ErrorCode[] = ['invalid_json', 'body_too_large', 'unsupported_encoding']

/** Names of the security schemes by which each kind of caller is known. */
const SECURITY: Readonly<Record<Caller['kind'], readonly string[]>> = {
  anyone: [],
  operator: ['bearer'],
  key: ['bearer', 'api_key', 'google_api_key'],
  person: ['session'],
}

const READERS: Readonly<Record<Caller['kind'], (operation: Operation) => string>> = {
  anyone: () => 'anyone',
  operator: () => 'operator',
  key: () => 'an API key, for its own project',
  person: ({ permission }) =>
    permission === 'signed_in'
      ? 'whoever is signed in'
      : `whoever is signed in and has \`${permission}\` in the organization`,
}

function faultsOf(operation: Operation): readonly ErrorCode[] {
  const open = operation.callers.includes('anyone')
  return [
    ...new Set<ErrorCode>([
      ...(open ? [] : WITH_CREDENTIAL),
      ...(operation.permission === undefined || operation.method === 'GET' ? [] : WITH_SESSION),
      ...WITH_INPUT,
      ...(operation.body === null ? [] : WITH_BODY),
      ...operation.faults,
      ...ALWAYS,
    ]),
  ]
}

function problemResponses(operation: Operation): Record<string, JsonSchema> {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of faultsOf(operation)) {
    const { status } = ERRORS[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('; '),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  )
}

interface Schemas {
  of(schema: z.ZodType): JsonSchema
  components(): Record<string, JsonSchema>
}

/** Every schema goes through one registry, so that a named one is referred to wherever it occurs. */
function collectSchemas(operations: readonly Operation[]): Schemas {
  const registry = z.registry<{ id: string }>()
  const idOf = new Map<z.ZodType, string>()
  for (const [id, schema] of Object.entries(NAMED)) idOf.set(schema, id)
  for (const operation of operations)
    for (const schema of [operation.params, operation.query, operation.body, operation.response])
      if (schema !== null && !idOf.has(schema)) idOf.set(schema, `inline${idOf.size}`)
  for (const [schema, id] of idOf) registry.add(schema, { id })

  const uri = (id: string): string => `#/components/schemas/${id}`
  const { schemas } = z.toJSONSchema(registry, { uri, target: 'openapi-3.1', io: 'input' })
  const plain = (id: string): JsonSchema => {
    const { $id: _, $schema: __, ...schema } = schemas[id] as JsonSchema
    return schema
  }
  return {
    of(schema) {
      const id = idOf.get(schema) ?? ''
      return id in NAMED ? { $ref: uri(id) } : plain(id)
    },
    components: () => Object.fromEntries(Object.keys(NAMED).map((id) => [id, plain(id)])),
  }
}

function parametersOf(place: 'path' | 'query', schema: JsonSchema): readonly JsonSchema[] {
  const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>
  const required = (schema['required'] ?? []) as readonly string[]
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }))
}

function successStatuses(operation: Operation): readonly string[] {
  // The status may depend on the answer; the ones a grant can have are told by asking with both.
  const answers = [
    { ready: true, repeated: false },
    { ready: true, repeated: true },
  ]
  return [...new Set(answers.map((answer) => String(operation.status(answer))))]
}

function describe(operation: Operation, schemas: Schemas): JsonSchema {
  const success = {
    description: operation.summary,
    content: { [operation.contentType ?? 'application/json']: { schema: schemas.of(operation.response) } },
  }
  const kinds: ReadonlyArray<Caller['kind']> = [
    ...operation.callers,
    ...(operation.permission === undefined ? [] : (['person'] as const)),
  ]
  const readers = kinds.map((kind) => READERS[kind](operation)).join(', ')
  return {
    operationId: operation.id,
    summary: operation.summary,
    description: `Callers: ${readers}.`,
    security: [...new Set(kinds.flatMap((kind) => SECURITY[kind]))].map((scheme) => ({
      [scheme]: [],
    })),
    parameters: [
      ...parametersOf('path', schemas.of(operation.params)),
      ...parametersOf('query', schemas.of(operation.query)),
    ],
    ...(operation.body === null
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemas.of(operation.body) } },
          },
        }),
    responses: {
      ...Object.fromEntries(successStatuses(operation).map((status) => [status, success])),
      ...problemResponses(operation),
    },
  }
}

export function openApiDocument(version: string, operations: readonly Operation[] = OPERATIONS): JsonSchema {
  const schemas = collectSchemas(operations)
  const paths: Record<string, Record<string, JsonSchema>> = {}
  for (const operation of operations) {
    const item = paths[operation.path] ?? {}
    paths[operation.path] = item
    item[operation.method.toLowerCase()] = describe(operation, schemas)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tokens Forge',
      version,
      summary: 'One request, one route, one balance, one receipt.',
      description:
        'Amounts are decimal strings, times RFC 3339 in UTC, lists `{data, next_cursor}`, errors RFC 9457.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: schemas.components(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'the operator token or an API key' },
        api_key: { type: 'apiKey', in: 'header', name: 'x-api-key' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-tf_session',
          description: 'of a person who signed in',
        },
        google_api_key: { type: 'apiKey', in: 'header', name: 'x-goog-api-key' },
      },
    },
  }
}
