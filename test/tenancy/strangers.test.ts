import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ROLES } from '../../src/contract/index.ts'
import { formatId, type IdPrefix, parseId } from '../../src/kernel/index.ts'
import { type Answer, type ApiStand, type CallOptions, type Customer, startApi } from '../api-stand.ts'

/**
 * Every operation of the served OpenAPI document, asked about another organization's things by a key and by people of each
 * role: what is there and what is nowhere are answered alike. New operations are in it by being described; what they are
 * about has to be known here, or the test fails.
 */

interface Described {
  readonly operationId: string
  readonly parameters: ReadonlyArray<{
    readonly name: string
    readonly in: string
    readonly required?: boolean
  }>
  readonly requestBody?: unknown
  readonly security: ReadonlyArray<Readonly<Record<string, unknown>>>
}

type Ids = Readonly<Record<string, string>>

/** What stands for `{id}` in a path, by its first segment behind /api/v1/. */
const PATH_KIND: Readonly<Record<string, string>> = {
  keys: 'key',
  projects: 'project',
  organizations: 'organization',
  runs: 'run',
  receipts: 'receipt',
  budgets: 'budget',
  invitations: 'invitation',
  'rate-limits': 'rate_limit',
  operators: 'person',
  events: 'event',
  alerts: 'alert',
  'alert-rules': 'alert_rule',
  webhooks: 'webhook',
  channels: 'channel_name',
}

/** A body that would be taken from the organization’s own owner. */
const BODIES: Readonly<Record<string, (ids: Ids) => object>> = {
  createProject: ({ organization }) => ({ organization, name: 'n' }),
  changeProject: () => ({ name: 'n' }),
  createKey: ({ project }) => ({ project }),
  changeKey: () => ({ label: 'n' }),
  rotateKey: () => ({ overlap_seconds: 0 }),
  createRun: ({ project }) => ({ project, name: 'night' }),
  createBudget: ({ key }) => ({ scope: 'key', scope_id: key, bucket: 'rmb', amount: '1' }),
  changeBudget: () => ({ amount: '1' }),
  createRateLimit: ({ key }) => ({ scope: 'key', scope_id: key, concurrency: 1 }),
  changeRateLimit: () => ({ concurrency: 2 }),
  changeOrganization: () => ({ name: 'n' }),
  createOrganization: () => ({ name: 'n' }),
  createInvitation: ({ organization }) => ({ organization, email: 'z@stand.test', role: 'viewer' }),
  acceptInvitation: ({ token }) => ({ token }),
  changeMember: () => ({ role: 'viewer' }),
  putOperator: () => ({ email: 'y@stand.test', role: 'admin' }),
  createWebhook: ({ organization }) => ({ organization, url: 'http://127.0.0.1:9/', types: ['key.revoked'] }),
  changeWebhook: () => ({ description: 'n' }),
  rotateWebhook: () => ({ overlap_seconds: 0 }),
  replayFailed: () => ({ since: '2026-01-01T00:00:00Z' }),
  createAlertRule: ({ organization }) => ({
    organization,
    kind: 'balance',
    parameters: { bucket: 'credit', below: '5' },
  }),
  changeAlertRule: () => ({ state: 'paused' }),
  createGrant: ({ organization }) => ({ organization, bucket: 'rmb', amount: '1', reason: 'r' }),
}
/** Fixed by what is asked, not by whose. */
const QUERIES: Readonly<Record<string, string>> = { listLedgerEntries: 'bucket=rmb' }

interface Asked {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly body: object | null
}

function callsAbout(document: Record<string, Record<string, Described>>, ids: Ids): readonly Asked[] {
  return Object.entries(document).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([, { security }]) => security.length > 0)
      .map(([method, { operationId, parameters, requestBody }]) => {
        const kind = PATH_KIND[/^\/api\/v1\/([\w-]+)\//.exec(path)?.[1] ?? ''] ?? ''
        const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
          const id = ids[name === 'id' ? kind : name]
          assert.ok(id !== undefined, `${operationId}: what is {${name}} of ${path}?`)
          return id
        })
        const query = parameters
          .filter((parameter) => parameter.in === 'query' && ids[parameter.name] !== undefined)
          .map(({ name }) => `${name}=${ids[name]}`)
        if (QUERIES[operationId] !== undefined) query.push(QUERIES[operationId])
        const body = BODIES[operationId]?.(ids) ?? null
        assert.equal(body === null, requestBody === undefined, `${operationId}: what is its body?`)
        const asked = query.length === 0 ? filled : `${filled}?${query.join('&')}`
        return { id: operationId, method: method.toUpperCase(), path: asked, body }
      }),
  )
}

async function thingsOf(stand: ApiStand, customer: Customer): Promise<Ids> {
  const { org, project, keyId } = customer
  const make = async (path: string, body: object) => (await stand.call('POST', path, { body })).json
  const invitation = await make('/api/v1/invitations', {
    organization: org,
    email: 'y@stand.test',
    role: 'owner',
  })
  const webhook = await make('/api/v1/webhooks', {
    organization: org,
    url: 'http://127.0.0.1:9/canary',
    types: ['key.revoked'],
    description: 'canary',
  })
  const rule = await make('/api/v1/alert-rules', {
    organization: org,
    kind: 'balance',
    parameters: { bucket: 'credit', below: '5' },
    description: 'canary',
  })
  const alert = stand.ids.uuid()
  await stand.owner.query(
    `insert into alerts.alert (org_id, id, rule_id, subject, figures, raised_at) values ($1, $2, $3, 'canary', '{}', now())`,
    [parseId('org', org), alert, parseId('alr', rule.id)],
  )
  const owner = await memberOf(stand, customer, 'owner', 'Canary')
  return {
    organization: org,
    project,
    key: keyId,
    run: (await make('/api/v1/runs', { project, name: 'canary-run' })).id,
    budget: (await make('/api/v1/budgets', { scope: 'key', scope_id: keyId, bucket: 'rmb', amount: '1' })).id,
    rate_limit: (await make('/api/v1/rate-limits', { scope: 'key', scope_id: keyId, concurrency: 5 })).id,
    secret: (await stand.call('GET', `/api/v1/keys/${keyId}`)).json.secrets[0].id,
    receipt: formatId('req', stand.ids.uuid()),
    webhook: webhook.id,
    alert_rule: rule.id,
    alert: formatId('alt', alert),
    delivery: (await stand.call('POST', `/api/v1/webhooks/${webhook.id}/test`)).json.id,
    invitation: invitation.id,
    person: owner.usr,
    channel_name: 'direct',
    // Who has the token was given it, and is told more: what it is tried with here is nobody's.
    token: `tfi_${'y'.repeat(43)}`,
  }
}

async function memberOf(stand: ApiStand, { org }: Customer, role: string, name = 'Somebody') {
  const person = stand.person({ name })
  const body = { organization: org, email: person.email, role }
  const { token } = (await stand.call('POST', '/api/v1/invitations', { body })).json
  await stand.call('POST', '/api/v1/invitations/accept', { body: { token }, cookie: person.cookie })
  return { ...person, usr: formatId('usr', person.id) }
}

const PREFIXES: Readonly<Record<string, IdPrefix>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  run: 'run',
  budget: 'bud',
  rate_limit: 'rl',
  secret: 'sec',
  receipt: 'req',
  invitation: 'inv',
  person: 'usr',
  webhook: 'whk',
  alert_rule: 'alr',
  alert: 'alt',
  delivery: 'dlv',
}

function nowhere(stand: ApiStand): Ids {
  const ids = Object.entries(PREFIXES).map(([name, prefix]) => [name, formatId(prefix, stand.ids.uuid())])
  return { ...Object.fromEntries(ids), channel_name: 'nowhere', token: `tfi_${'x'.repeat(43)}` }
}

/** Without what is another in every answer. */
function told({ status, text }: Answer): string {
  return `${status} ${text.replace(/"request_id":"[^"]*"/, '')}`
}

test('to a stranger another organization is nowhere, whatever is asked and by whom', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Canary-Alpha')
  const b = await stand.customer('Beta')
  const there = await thingsOf(stand, a)
  const { paths } = (await stand.call('GET', '/openapi.json', { token: null })).json
  const strangers: Array<readonly [name: string, as: CallOptions]> = [
    ['key', { token: b.key }],
    ['nobody’s member', { cookie: stand.person().cookie }],
  ]
  for (const role of ROLES) strangers.push([role, { cookie: (await memberOf(stand, b, role)).cookie }])

  const state = async () =>
    JSON.stringify(
      await Promise.all(
        ['organization', 'project', 'api_key', 'api_key_secret', 'run', 'member', 'invitation'].map((table) =>
          stand.owner.query(
            `select * from tenancy.${table} where ${table === 'organization' ? 'id' : 'org_id'} = $1`,
            [parseId('org', a.org)],
          ),
        ),
      ),
    )
  const before = await state()
  const asked = callsAbout(paths, there)
  assert.ok(asked.length > 35, 'the test must see the operations')
  for (const [name, as] of strangers) {
    const nothing = callsAbout(paths, nowhere(stand))
    for (const [i, { id, method, path, body }] of asked.entries()) {
      const send = (to: Asked) =>
        stand.call(method, to.path, { ...as, ...(to.body === null ? {} : { body: to.body }) })
      const real = await send({ id, method, path, body })
      const none = await send(nothing[i] as Asked)
      assert.equal(told(real), told(none), `${id} as ${name}: ${path}`)
      assert.ok(!/canary/i.test(real.text), `${id} as ${name}: ${real.text}`)
      for (const known of [a.org, a.project, a.keyId])
        assert.ok(!real.text.includes(known), `${id} as ${name}: ${real.text}`)
      if (path.includes(a.org) || path.includes('{')) assert.ok(real.status >= 400, `${id} as ${name}`)
    }
  }
  assert.equal(await state(), before, 'nothing was changed')
})
