import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPERATIONS } from '../../src/api/operations/index.ts'
import { ERRORS } from '../../src/contract/index.ts'
import { formatId, parseId } from '../../src/kernel/index.ts'
import { type Answer, type ApiStand, type CallOptions, type Customer, startApi } from '../api-stand.ts'

/**
 * What holds of every operation by its being one: a POST with an Idempotency-Key has one effect and one answer, and a refusal
 * tells its code, what to do, and where the request is wrong. A new POST has to say here what it is asked with.
 */

interface Ask {
  readonly path: string
  readonly body?: object
  /** Another body for the same key; left out where there is none. */
  readonly other?: object
  readonly as?: CallOptions
}

type Asks = (stand: ApiStand, a: Customer) => Promise<Ask> | Ask

async function made(stand: ApiStand, path: string, body: object) {
  const { status, json, text } = await stand.call('POST', path, { body })
  assert.ok(status < 300, text)
  return json
}

const webhookOf = (a: Customer) => ({
  organization: a.org,
  url: 'http://127.0.0.1:9/',
  types: ['key.revoked'],
})
const ruleOf = (a: Customer) => ({
  organization: a.org,
  kind: 'balance',
  parameters: { bucket: 'credit', below: '5' },
})

async function alertOf(stand: ApiStand, a: Customer): Promise<string> {
  const rule = await made(stand, '/api/v1/alert-rules', ruleOf(a))
  const id = stand.ids.uuid()
  await stand.owner.query(
    `insert into alerts.alert (org_id, id, rule_id, subject, figures, raised_at)
     values ($1, $2, $3, 'credit', '{"available": "1"}', clock_timestamp())`,
    [parseId('org', a.org), id, parseId('alr', rule.id)],
  )
  return formatId('alt', id)
}

async function join(stand: ApiStand, org: string, person: ReturnType<ApiStand['person']>): Promise<void> {
  const body = { organization: org, email: person.email, role: 'viewer' }
  const { token } = await made(stand, '/api/v1/invitations', body)
  await stand.call('POST', '/api/v1/invitations/accept', { body: { token }, cookie: person.cookie })
}

const key =
  (action: string): Asks =>
  (_stand, a) => ({ path: `/api/v1/keys/${a.keyId}/${action}` })

const POSTS: Readonly<Record<string, Asks>> = {
  createOrganization: () => ({
    path: '/api/v1/organizations',
    body: { name: 'n' },
    other: { name: 'm' },
  }),
  createProject: (_stand, a) => ({
    path: '/api/v1/projects',
    body: { organization: a.org, name: 'n' },
    other: { organization: a.org, name: 'm' },
  }),
  createKey: (_stand, a) => ({
    path: '/api/v1/keys',
    body: { project: a.project },
    other: { project: a.project, label: 'm' },
  }),
  rotateKey: (_stand, a) => ({
    path: `/api/v1/keys/${a.keyId}/rotate`,
    body: { overlap_seconds: 60 },
    other: { overlap_seconds: 61 },
  }),
  pauseKey: key('pause'),
  resumeKey: key('resume'),
  revokeKey: key('revoke'),
  revokeSecret: async (stand, a) => {
    const body = { overlap_seconds: 60 }
    await made(stand, `/api/v1/keys/${a.keyId}/rotate`, body)
    const [first] = (await stand.call('GET', `/api/v1/keys/${a.keyId}`)).json.secrets
    return { path: `/api/v1/keys/${a.keyId}/secrets/${first.id}/revoke` }
  },
  createRun: (_stand, a) => ({
    path: '/api/v1/runs',
    body: { project: a.project, name: 'n' },
    other: { project: a.project, name: 'm' },
  }),
  createGrant: (_stand, a) => ({
    path: '/api/v1/grants',
    body: { organization: a.org, bucket: 'rmb', amount: '1', reason: 'r' },
    other: { organization: a.org, bucket: 'rmb', amount: '2', reason: 'r' },
  }),
  createBudget: (_stand, a) => ({
    path: '/api/v1/budgets',
    body: { scope: 'key', scope_id: a.keyId, bucket: 'rmb', amount: '1' },
    other: { scope: 'key', scope_id: a.keyId, bucket: 'rmb', amount: '2' },
  }),
  createRateLimit: (_stand, a) => ({
    path: '/api/v1/rate-limits',
    body: { scope: 'key', scope_id: a.keyId, concurrency: 1 },
    other: { scope: 'key', scope_id: a.keyId, concurrency: 2 },
  }),
  createInvitation: (_stand, a) => ({
    path: '/api/v1/invitations',
    body: { organization: a.org, email: 'n@stand.test', role: 'viewer' },
    other: { organization: a.org, email: 'm@stand.test', role: 'viewer' },
  }),
  acceptInvitation: async (stand, a) => {
    const { email, cookie } = stand.person()
    const { token } = await made(stand, '/api/v1/invitations', { organization: a.org, email, role: 'viewer' })
    return {
      path: '/api/v1/invitations/accept',
      body: { token },
      other: { token: `tfi_${'x'.repeat(43)}` },
      as: { cookie },
    }
  },
  // Who has left the only organization is a stranger, who is told nothing again: this one belongs to another as well.
  leaveOrganization: async (stand, a) => {
    const person = stand.person()
    await join(stand, a.org, person)
    await join(stand, (await stand.customer('Other')).org, person)
    return { path: `/api/v1/organizations/${a.org}/leave`, as: { cookie: person.cookie } }
  },
  putOperator: async (stand) => {
    const [id, email] = [stand.ids.uuid(), 'operator@stand.test']
    await stand.owner.query(
      `insert into identity.person (id, name, email, email_verified) values ($1, 'n', $2, true)`,
      [id, email],
    )
    return {
      path: '/api/v1/operators',
      body: { email, role: 'admin' },
      other: { email, role: 'auditor' },
    }
  },
  createOperatorLink: () => ({ path: '/api/v1/operator-links' }),
  acknowledgeAlert: async (stand, a) => ({ path: `/api/v1/alerts/${await alertOf(stand, a)}/acknowledge` }),
  createAlertRule: (_stand, a) => ({
    path: '/api/v1/alert-rules',
    body: ruleOf(a),
    other: { ...ruleOf(a), description: 'm' },
  }),
  createWebhook: (_stand, a) => ({
    path: '/api/v1/webhooks',
    body: webhookOf(a),
    other: { ...webhookOf(a), description: 'm' },
  }),
  rotateWebhook: async (stand, a) => ({
    path: `/api/v1/webhooks/${(await made(stand, '/api/v1/webhooks', webhookOf(a))).id}/rotate`,
    body: { overlap_seconds: 60 },
    other: { overlap_seconds: 61 },
  }),
  testWebhook: async (stand, a) => ({
    path: `/api/v1/webhooks/${(await made(stand, '/api/v1/webhooks', webhookOf(a))).id}/test`,
  }),
  replayFailed: async (stand, a) => ({
    path: `/api/v1/webhooks/${(await made(stand, '/api/v1/webhooks', webhookOf(a))).id}/replay`,
    body: { since: '2026-01-01T00:00:00Z' },
    other: { since: '2026-01-02T00:00:00Z' },
  }),
  replayDelivery: async (stand, a) => {
    const webhook = `/api/v1/webhooks/${(await made(stand, '/api/v1/webhooks', webhookOf(a))).id}`
    const { json } = await stand.call('POST', `${webhook}/test`)
    return { path: `${webhook}/deliveries/${json.id}/replay` }
  },
}

/** What is kept, told short. Webhooks are sent meanwhile: of those, how many there are. */
async function state(stand: ApiStand): Promise<object> {
  const tables = await stand.owner.query<{ schema: string; name: string }>(
    `select schemaname as schema, format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname in ('tenancy', 'ledger', 'alerts', 'rates', 'identity', 'webhooks')
       and tablename <> all (array['management_request', 'process', 'attempt']) order by 2`,
  )
  assert.ok(tables.length > 15)
  const told = tables.map(async ({ schema, name }) => {
    const rows = schema === 'webhooks' ? `''` : `md5(string_agg(r, ' ' order by r))`
    const { digest, n } = await stand.owner.one<{ digest: string; n: bigint }>(
      `select ${rows} as digest, count(*) as n from (select (to_jsonb(t) - 'last_used_at')::text as r from ${name} t) x`,
    )
    return [name, `${n} ${digest}`] as const
  })
  return Object.fromEntries(await Promise.all(told))
}

test('every POST with an Idempotency-Key has one effect and one answer; another body is refused', async (t) => {
  const stand = await startApi(t)
  const posts = OPERATIONS.filter(({ method }) => method === 'POST')
  assert.deepEqual(new Set(posts.map(({ id }) => id)), new Set(Object.keys(POSTS)))
  for (const operation of posts) {
    const a = await stand.customer(operation.id)
    const ask = await (POSTS[operation.id] as Asks)(stand, a)
    const send = (body: object | undefined, idempotencyKey = `once-${operation.id}`): Promise<Answer> =>
      stand.call('POST', ask.path, {
        ...ask.as,
        headers: { 'idempotency-key': idempotencyKey },
        ...(body === undefined ? {} : { body }),
      })
    const first = await send(ask.body)
    assert.ok(first.status < 300, `${operation.id}: ${first.text}`)
    assert.equal(first.headers.get('x-tf-replayed'), null, operation.id)
    const after = await state(stand)
    const again = await send(ask.body)
    if (operation.secret === true) {
      assert.deepEqual([again.status, again.json.code], [409, 'conflict'], operation.id)
    } else {
      assert.deepEqual([again.status, again.text], [first.status, first.text], operation.id)
      assert.equal(again.headers.get('x-tf-replayed'), 'true', operation.id)
    }
    if (ask.other !== undefined) {
      const other = await send(ask.other)
      assert.deepEqual([other.status, other.json.code], [422, 'idempotency_key_reused'], operation.id)
    }
    assert.deepEqual(await state(stand), after, `${operation.id} had a second effect`)
    const bad = await send(ask.body, 'two words')
    assert.deepEqual([bad.status, bad.json.errors[0].field], [400, 'idempotency-key'], operation.id)
  }
})

function assertProblem(answer: Answer, name: string): void {
  const { status, json, headers, text } = answer
  assert.ok(status >= 400, `${name}: ${text}`)
  assert.equal(headers.get('content-type'), 'application/problem+json; charset=utf-8', name)
  const entry = ERRORS[json.code as keyof typeof ERRORS]
  assert.ok(entry !== undefined, `${name}: ${text}`)
  assert.deepEqual(
    [json.status, status, json.hint, json.title],
    [entry.status, entry.status, entry.hint, entry.title],
    name,
  )
  assert.equal(json.type, `urn:tokens-forge:error:${json.code}`, name)
  assert.match(json.request_id, /^req_[0-9a-z]{26}$/, name)
  assert.equal(headers.get('x-request-id'), json.request_id, name)
  for (const member of [json.hint, json.detail, json.title]) assert.ok(member.length > 5, name)
  for (const { field, message, ...rest } of json.errors ?? []) {
    assert.ok(typeof field === 'string' && typeof message === 'string' && message !== '', `${name}: ${text}`)
    assert.deepEqual(rest, {}, name)
  }
}

test('every refusal of every operation is a problem with code, hint and request id, and names the fields that are wrong', async (t) => {
  const stand = await startApi(t)
  const { cookie, ...person } = stand.person()
  await join(stand, (await stand.customer('Home')).org, { cookie, ...person })
  for (const operation of OPERATIONS) {
    const able = operation.callers.length > 0 ? {} : { cookie }
    const path = operation.path.replace(/\{\w+\}/g, 'x')
    const send = (query: string, more: CallOptions = {}) =>
      stand.call(operation.method, path + query, { ...able, ...more })
    const bodyOf = (body: unknown): CallOptions => (operation.body === null ? {} : { body })
    const unknown = await send('?surely_not=1', bodyOf({}))
    assertProblem(unknown, operation.id)
    const names = ((unknown.json.errors ?? []) as ReadonlyArray<{ field: string }>).map(({ field }) => field)
    assert.ok(unknown.status === 400 && names.includes('surely_not'), `${operation.id}: ${unknown.text}`)
    const twice = await send('?limit=1&limit=2', bodyOf({}))
    assertProblem(twice, operation.id)
    if (!operation.callers.includes('anyone')) {
      const nobody = await stand.call(operation.method, path, { ...bodyOf({}), token: null })
      assertProblem(nobody, operation.id)
      // Who goes on without a credential is made to wait.
      assert.ok([401, 429].includes(nobody.status), operation.id)
      const wrong = await stand.call(operation.method, path, { ...bodyOf({}), token: 'sk-tf-wrong' })
      assertProblem(wrong, operation.id)
      if (operation.permission !== 'signed_in')
        assertProblem(await send('', { ...bodyOf({}), cookie: stand.person().cookie }), operation.id)
    }
    if (operation.path.includes('{')) assertProblem(await send('', bodyOf({ surely_not: 1 })), operation.id)
    if (operation.body === null) continue
    const strange = await send('', { body: { surely_not: 1 } })
    assertProblem(strange, operation.id)
    const wrongFields = (strange.json.errors as ReadonlyArray<{ field: string }>).map(({ field }) => field)
    assert.ok(wrongFields.length > 0 && !wrongFields.includes(''), `${operation.id}: ${strange.text}`)
    for (const body of ['', '[]', '{', '"text"', '{"__proto__": 1}'])
      assertProblem(await send('', { body }), `${operation.id} ${body}`)
  }
})
