import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApi } from '../../test/api-stand.ts'
import { ERRORS } from '../contract/index.ts'
import { formatId, parseId } from '../kernel/index.ts'
import { openApiDocument } from './index.ts'
import { OPERATIONS } from './operations/index.ts'

type Node = Readonly<Record<string, unknown>>

const document = openApiDocument('1.2.3') as {
  readonly openapi: string
  readonly info: Node
  readonly paths: Readonly<Record<string, Readonly<Record<string, Node>>>>
  readonly components: { readonly schemas: Node; readonly securitySchemes: Node }
}

function* nodes(value: unknown): Generator<Node> {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) yield value as Node
  for (const member of Object.values(value)) yield* nodes(member)
}

test('every operation is described once, under its own id', () => {
  const described = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(
      ([method, operation]) => `${method.toUpperCase()} ${path} ${String(operation['operationId'])}`,
    ),
  )
  const declared = OPERATIONS.map(({ method, path, id }) => `${method} ${path} ${id}`)
  assert.deepEqual(described.toSorted(), declared.toSorted())
  assert.equal(new Set(OPERATIONS.map(({ id }) => id)).size, OPERATIONS.length)
})

test('the document is OpenAPI 3.1 in structure, and every reference leads somewhere', () => {
  assert.match(document.openapi, /^3\.1\.\d+$/)
  assert.equal(document.info['version'], '1.2.3')
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const name = `${method} ${path}`
      const parameters = operation['parameters'] as ReadonlyArray<Node>
      const inPath = parameters
        .filter((parameter) => parameter['in'] === 'path')
        .map((parameter) => parameter['name'])
      assert.deepEqual(
        inPath,
        [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]),
        name,
      )
      for (const parameter of parameters) assert.ok(typeof parameter['schema'] === 'object', name)
      const responses = operation['responses'] as Readonly<Record<string, Node>>
      assert.ok(
        Object.keys(responses).some((status) => status.startsWith('2')),
        name,
      )
      for (const [status, response] of Object.entries(responses)) {
        assert.match(status, /^[2-5]\d\d$/)
        assert.ok(typeof response['description'] === 'string' && response['description'] !== '', name)
      }
      for (const requirement of operation['security'] as ReadonlyArray<Node>)
        for (const scheme of Object.keys(requirement))
          assert.ok(scheme in document.components.securitySchemes, name)
    }
  }
  for (const node of nodes(document)) {
    const ref = node['$ref']
    if (typeof ref !== 'string') continue
    assert.match(ref, /^#\/components\/schemas\/\w+$/)
    assert.ok((ref.split('/')[3] ?? '') in document.components.schemas, ref)
  }
})

test('every problem an operation names is in the table of errors, by its status', () => {
  const byStatus = new Map<string, string[]>()
  for (const [code, { status }] of Object.entries(ERRORS))
    byStatus.set(String(status), [...(byStatus.get(String(status)) ?? []), code])
  for (const operation of Object.values(document.paths).flatMap((item) => Object.values(item))) {
    for (const [status, response] of Object.entries(
      operation['responses'] as Readonly<Record<string, Node>>,
    )) {
      const codes = [...String(response['description']).matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '')
      for (const code of codes) assert.ok(byStatus.get(status)?.includes(code), `${status} ${code}`)
    }
  }
})

test('what is served is what is described: every operation answers, and as its schema says', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const served = await stand.call('GET', '/openapi.json', { token: null })
  assert.deepEqual(Object.keys(served.json.paths), Object.keys(document.paths))

  const bodies: Readonly<Record<string, object>> = {
    createOrganization: { name: 'n' },
    changeOrganization: { time_zone: 'Asia/Shanghai' },
    createInvitation: { organization: a.org, email: 'new@stand.test', role: 'viewer' },
    createProject: { organization: a.org, name: 'n' },
    createKey: { project: a.project },
    changeKey: { label: 'renamed' },
    createRun: { project: a.project, name: 'night', budget: { rmb: '2' } },
    createBudget: { scope: 'key', scope_id: a.keyId, bucket: 'rmb', amount: '3' },
    changeBudget: { amount: '2.5' },
    createRateLimit: { scope: 'key', scope_id: a.keyId, requests_per_minute: 60 },
    changeRateLimit: { tokens_per_minute: 1_000 },
    changeProject: { name: 'renamed' },
    rotateKey: { overlap_seconds: 60 },
    createWebhook: { organization: a.org, url: 'http://127.0.0.1:9/', types: ['key.revoked'] },
    changeWebhook: { description: 'renamed' },
    rotateWebhook: { overlap_seconds: 60 },
    replayFailed: { since: '2026-01-01T00:00:00Z' },
    createAlertRule: {
      organization: a.org,
      kind: 'balance',
      parameters: { bucket: 'credit', below: '5' },
    },
    changeAlertRule: { state: 'paused' },
    createGrant: { organization: a.org, bucket: 'rmb', amount: '1.5', reason: 'r' },
  }
  const queries: Readonly<Record<string, string>> = {
    getBalances: `?organization=${a.org}`,
    getUsage: `?organization=${a.org}`,
    exportUsage: `?organization=${a.org}`,
    listMembers: `?organization=${a.org}`,
    listInvitations: `?organization=${a.org}`,
    listLedgerEntries: `?organization=${a.org}&bucket=rmb`,
  }
  const budget = { scope: 'project', scope_id: a.project, bucket: 'credit', amount: '1' }
  const { id } = (await stand.call('POST', '/api/v1/budgets', { body: budget })).json
  const rate = { scope: 'project', scope_id: a.project, concurrency: 3 }
  const rateId = (await stand.call('POST', '/api/v1/rate-limits', { body: rate })).json.id
  const ids: Readonly<Record<string, string>> = {
    changeKey: a.keyId,
    getBudget: id,
    changeBudget: id,
    endBudget: id,
    getOrganization: a.org,
    changeOrganization: a.org,
    getRateLimit: rateId,
    changeRateLimit: rateId,
    endRateLimit: rateId,
  }
  const webhook = (await stand.call('POST', '/api/v1/webhooks', { body: bodies['createWebhook'] })).json.id
  const delivery = (await stand.call('POST', `/api/v1/webhooks/${webhook}/test`)).json.id
  const rule = (await stand.call('POST', '/api/v1/alert-rules', { body: bodies['createAlertRule'] })).json.id
  const alertId = stand.ids.uuid()
  await stand.owner.query(
    `insert into alerts.alert (org_id, id, rule_id, subject, figures, raised_at)
     values ($1, $2, $3, 'credit', '{"available": "1"}', clock_timestamp())`,
    [parseId('org', a.org), alertId, parseId('alr', rule)],
  )
  const families: Readonly<Record<string, string>> = {
    '/api/v1/webhooks/': webhook,
    '/api/v1/channels/': 'direct',
    '/api/v1/alert-rules/': rule,
    '/api/v1/alerts/': formatId('alt', alertId),
  }
  // What ends comes last, so that the others meet what is in force.
  const last = (operation: { readonly id: string }): number => (operation.id.startsWith('end') ? 1 : 0)
  const secret = (await stand.call('GET', `/api/v1/keys/${a.keyId}`)).json.secrets[0].id
  // These need what no operation makes (requests that were served, people with an account); they have tests of their own.
  const elsewhere = new Set([
    'getReceipt',
    'getRun',
    'putOperator',
    'removeOperator',
    'getMe',
    'changeMember',
    'removeMember',
    'leaveOrganization',
    'acceptInvitation',
    'revokeInvitation',
  ])
  const asked = OPERATIONS.filter(({ id }) => !elsewhere.has(id)).toSorted((a, b) => last(a) - last(b))
  for (const operation of asked) {
    const id = operation.path.startsWith('/api/v1/projects/') ? a.project : a.keyId
    // What a key cannot come back from is done to another one.
    const revoking = operation.id === 'revokeKey'
    const family = Object.entries(families).find(([path]) => operation.path.startsWith(path))?.[1]
    const target = revoking ? (await stand.customer('Beta')).keyId : (family ?? ids[operation.id] ?? id)
    const path =
      operation.path.replace('{id}', target).replace('{secret}', secret).replace('{delivery}', delivery) +
      (queries[operation.id] ?? '')
    const body = bodies[operation.id]
    const answer = await stand.call(operation.method, path, body === undefined ? {} : { body })
    assert.ok(answer.status < 300, `${operation.id}: ${answer.text}`)
    const value = operation.contentType === undefined ? answer.json : answer.text
    assert.deepEqual(operation.response.safeParse(value).error, undefined, operation.id)
  }
})
