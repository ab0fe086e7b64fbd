import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Actions, type CliSettings, runCli } from '../src/cli/index.ts'
import { looksLikeApiKey } from '../src/tenancy/index.ts'
import { type ApiStand, startApi } from './api-stand.ts'

const unused = (): Promise<number> => Promise.reject(new Error('not asked for'))
const ACTIONS: Actions = { start: unused, migrate: unused, configCheck: unused, doctor: unused }

/** Nobody listens there: it was free a moment ago. */
async function silentUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}`
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers whose shape they assert
  readonly json: any
}

function forgeOf(settings: Partial<CliSettings> & { url: string }, actions: Partial<Actions> = {}) {
  return async (...argv: string[]): Promise<Ran> => {
    let out = ''
    let err = ''
    const code = await runCli(argv, {
      settings: {
        operatorToken: async () => null,
        language: 'en',
        version: '1.2.3',
        newId: () => '0192d3a0-0000-7000-8000-000000000000',
        ...settings,
      },
      actions: { ...ACTIONS, ...actions },
      io: {
        out: (text) => {
          out += text
        },
        err: (text) => {
          err += text
        },
      },
    })
    // Exactly one value: JSON.parse refuses anything before or behind it.
    return { code, out, err, json: argv.includes('--json') && out !== '' ? JSON.parse(out) : null }
  }
}

async function standAndForge(t: TestContext, actions: Partial<Actions> = {}, override = {}) {
  const stand: ApiStand = await startApi(t, override)
  const settings = {
    url: stand.url,
    operatorToken: async () => stand.operator,
    newId: () => stand.ids.uuid(),
  }
  return { stand, forge: forgeOf(settings, actions) }
}

test('the way from nothing to a funded key, in JSON', async (t) => {
  const { forge } = await standAndForge(t)
  const org = await forge('org', 'create', 'Acme', '--json')
  assert.equal(org.code, 0)
  assert.match(org.json.id, /^org_/)
  assert.equal(org.json.name, 'Acme')
  const project = await forge('project', 'create', 'p', '--org', org.json.id, '--json')
  const changed = await forge(
    'project',
    'change',
    project.json.id,
    '--name',
    'q',
    '--replay-unkeyed-retries',
    'on',
    '--json',
  )
  assert.deepEqual(
    [changed.json.name, changed.json.state, changed.json.replay_unkeyed_retries],
    ['q', 'active', true],
  )
  const key = await forge(
    'key',
    'create',
    '--project',
    project.json.id,
    '--label',
    'l',
    '--policy',
    'official_only',
    '--allow-cross-balance',
    '--models',
    'm-one,m-two',
    '--routes',
    'official',
    '--json',
  )
  assert.ok(looksLikeApiKey(key.json.key))
  assert.deepEqual(
    [key.json.label, key.json.policy, key.json.allow_cross_balance, key.json.models, key.json.routes],
    ['l', 'official_only', true, ['m-one', 'm-two'], ['official']],
  )
  assert.match(key.err, /shown this once/)

  const empty = await forge('wallet', 'show', '--org', org.json.id, '--json')
  assert.deepEqual(Object.keys(empty.json.buckets), ['credit', 'rmb'])
  assert.equal(empty.json.buckets.rmb.available, '0')
  const grant = await forge(
    'wallet',
    'grant',
    '--org',
    org.json.id,
    '--bucket',
    'credit',
    '--amount',
    '10.00',
    '--reason',
    'r',
    '--json',
  )
  assert.deepEqual(
    [grant.json.bucket, grant.json.amount, grant.json.balance.available],
    ['credit', '10', '10'],
  )
  const shown = await forge('wallet', 'show', '--org', org.json.id, '--json')
  assert.deepEqual(shown.json.buckets.credit, {
    name: 'Credit',
    currency: 'USD',
    posted: '10',
    held: '0',
    available: '10',
    open_holds: 0,
  })

  assert.equal((await forge('key', 'pause', key.json.id, '--json')).json.state, 'paused')
  assert.equal((await forge('key', 'resume', key.json.id, '--json')).json.state, 'active')
  assert.equal((await forge('key', 'revoke', key.json.id, '--json')).json.state, 'revoked')
  assert.equal(
    (await forge('key', 'list', '--project', project.json.id, '--json')).json.data[0].state,
    'revoked',
  )
  assert.equal((await forge('models', '--json')).json.data[0].name, 'm-one')
  assert.equal((await forge('receipt', 'list', '--json')).json.next_cursor, null)
})

test('rate limits are set, changed, taken away in part, listed and ended', async (t) => {
  const { stand, forge } = await standAndForge(t)
  const a = await stand.customer('Alpha')
  const set = (...more: string[]) =>
    forge('rate-limit', 'set', '--scope', 'key', '--id', a.keyId, '--json', ...more)
  const made = await set('--rpm', '60', '--tpm', '100000')
  assert.equal(made.code, 0, made.err)
  const amounts = ({ json }: typeof made) => [
    json.requests_per_minute,
    json.tokens_per_minute,
    json.concurrency,
  ]
  assert.deepEqual(amounts(made), [60, 100_000, null])
  const again = await set('--tpm', 'none', '--concurrency', '8')
  assert.equal(again.json.id, made.json.id, 'the one in force is changed')
  assert.deepEqual(amounts(again), [60, null, 8])
  const route = await forge(
    ...['rate-limit', 'set', '--scope', 'route', '--id', 'official', '--org', a.org, '--rpm', '5', '--json'],
  )
  assert.equal(route.json.scope_id, 'official')
  const shown = await forge('rate-limit', 'list', '--org', a.org)
  assert.match(shown.out, new RegExp(`key ${a.keyId} +60 +- +8 +in force`))
  assert.match((await forge('rate-limit', 'end', made.json.id)).out, /ended +2/)
  assert.equal((await forge('rate-limit', 'list', '--org', a.org, '--json')).json.data.length, 1)
  for (const wrong of [
    await set(),
    await set('--rpm', 'many'),
    await set('--concurrency', '99999999'),
    await forge('rate-limit', 'set', '--scope', 'route', '--id', 'official', '--rpm', '5'),
    await forge('rate-limit', 'set', '--scope', 'run', '--id', 'x', '--rpm', '5'),
  ])
    assert.equal(wrong.code, 2, wrong.err)
})

test('budgets are set, listed and ended', async (t) => {
  const { stand, forge } = await standAndForge(t)
  const a = await stand.customer('Alpha')
  const set = (...more: string[]) =>
    forge('budget', 'set', '--scope', 'key', '--id', a.keyId, '--bucket', 'credit', '--json', ...more)
  const made = await set('--amount', '20.00', '--period', 'day')
  assert.equal(made.code, 0, made.err)
  assert.deepEqual([made.json.amount, made.json.period, made.json.hard], ['20', 'day', true])
  const again = await set('--amount', '30', '--period', 'day')
  assert.deepEqual([again.json.id, again.json.amount], [made.json.id, '30'], 'the one in force is changed')
  const soft = await set('--amount', '10', '--period', 'day', '--soft')
  assert.notEqual(soft.json.id, made.json.id)
  const route = await forge(
    ...['budget', 'set', '--scope', 'route', '--id', 'official', '--org', a.org],
    ...['--bucket', 'rmb', '--amount', '5', '--json'],
  )
  assert.deepEqual([route.json.period, route.json.scope_id], ['month', 'official'])
  const shown = await forge('budget', 'list', '--org', a.org)
  assert.equal(shown.out.trim().split('\n').length, 4)
  assert.match(shown.out, new RegExp(`key ${a.keyId} +credit +day +hard +30 USD +0 +0 +2`))
  assert.match((await forge('budget', 'end', made.json.id)).out, /ended +2/)
  assert.equal((await forge('budget', 'list', '--org', a.org, '--json')).json.data.length, 2)
  assert.equal((await forge('budget', 'list', '--org', a.org, '--ended', '--json')).json.data.length, 3)
  for (const wrong of [
    await set('--amount', '1', '--period', 'year'),
    await forge('budget', 'set', '--scope', 'planet', '--id', 'x', '--bucket', 'rmb', '--amount', '1'),
    await forge('budget', 'set', '--scope', 'route', '--id', 'x', '--bucket', 'rmb', '--amount', '1'),
    await forge('budget', 'set', '--scope', 'key', '--id', a.keyId, '--bucket', 'rmb'),
  ])
    assert.equal(wrong.code, 2)
  const run = await stand.call('POST', '/api/v1/runs', {
    token: a.key,
    body: { name: 'night', budget: { credit: '5' } },
  })
  assert.match((await forge('run', 'show', run.json.id)).out, /budget credit +5 USD \(0 used, 0 held\)/)
})

test('an audit exits 0 when every invariant holds and 6 when one is broken', async (t) => {
  const { forge } = await standAndForge(t)
  const good = await forge('audit', '--json')
  assert.equal(good.code, 0)
  assert.ok(good.json.ok && good.json.checks.length >= 5)
  const checks = [{ name: 'trial balance', ok: false, detail: 'USD is off by 1' }]
  const broken = await standAndForge(t, {}, { audit: async () => ({ ok: false, checks }) })
  const bad = await broken.forge('audit', '--json')
  assert.equal(bad.code, 6)
  assert.deepEqual(bad.json, { ok: false, checks })
  assert.match((await broken.forge('audit')).out, /BROKEN\s+trial balance\s+USD is off by 1/)
})

test('exit codes tell failures apart, and with --json a failure is one JSON value as well', async (t) => {
  const { stand, forge } = await standAndForge(t)
  const cases: ReadonlyArray<readonly [number, string, ...string[]]> = [
    [2, 'usage', 'nonsense'],
    [2, 'usage', 'org', 'creat', 'x'],
    [2, 'usage', 'org', 'create'],
    [2, 'usage', 'org', 'create', 'a', 'b'],
    [2, 'usage', 'project', 'create', 'p'],
    [2, 'usage', 'project', 'change', 'prj_x', '--replay-unkeyed-retries', 'maybe'],
    [2, 'usage', 'org', 'list', '--limt', '3'],
    [2, 'usage', 'key', 'create', '--project', 'prj_x', '--policy', 'best'],
    [2, 'usage', 'receipt', 'req_x', '--lang', 'fr'],
    [2, 'invalid_parameter', 'org', 'list', '--limit', 'many'],
    [3, 'invalid_api_key', 'org', 'list', '--token', 'wrong'],
    [1, 'not_found', 'receipt', 'req_nope'],
    [1, 'not_found', 'receipt', '../../livez'],
    [1, 'unreachable', 'org', 'list', '--url', await silentUrl()],
    [1, 'unexpected', 'org', 'list', '--url', `${stand.url}/v1`],
  ]
  for (const [code, name, ...argv] of cases) {
    const ran = await forge(...argv, '--json')
    assert.equal(ran.code, code, `${argv.join(' ')}: ${ran.out}`)
    assert.equal(ran.json.error.code, name, ran.out)
    assert.ok(ran.err !== '')
    assert.equal((await forge(...argv)).out, '', 'without --json a failure writes to stderr alone')
  }
  const key = (await stand.customer('A')).key
  assert.equal((await forge('org', 'list', '--token', key)).code, 3)
})

test('what was probably meant is said', async () => {
  const forge = forgeOf({ url: await silentUrl() })
  assert.match((await forge('wallet', 'sohw')).err, /did you mean wallet show\?/)
  assert.match((await forge('org', 'list', '--limt', '3')).err, /no option --limt; did you mean --limit\?/)
  assert.match(
    (await forge('project', 'create', 'p')).err,
    /--org is missing: forge project create NAME --org …/,
  )
  assert.match(
    (await forge('org', 'list', '--token', 'x')).err,
    /is the gateway running\? Start it with npm start/,
  )
})

test('an installation without a token says how to give one', async () => {
  const ran = await forgeOf({ url: await silentUrl() })('org', 'list', '--json')
  assert.equal(ran.code, 3)
  assert.equal(ran.json.error.code, 'configuration')
  assert.match(ran.err, /FORGE_OPERATOR_TOKEN/)
})

test('every command has a help with an example that it understands', async () => {
  const forge = forgeOf({ url: await silentUrl() })
  const general = await forge('help')
  assert.equal(general.code, 0)
  assert.equal((await forge()).out, general.out)
  const names = [...general.out.matchAll(/^ {2}forge (?!help)([a-z ]+?)(?: +[A-Z]+)? {2}/gm)].map(
    (match) => match[1] ?? '',
  )
  assert.ok(names.length >= 20, names.join(', '))
  for (const name of names) {
    const help = await forge('help', ...name.split(' '))
    assert.equal(help.code, 0, name)
    assert.match(help.out, new RegExp(`Example\\n  forge ${name}`))
    assert.equal((await forge(...name.split(' '), '--help')).out, help.out)
  }
})

test('commands of the installation get their flags and decide their exit code', async () => {
  const seen: unknown[] = []
  const forge = forgeOf(
    { url: await silentUrl() },
    {
      start: async (flags) => {
        seen.push(flags)
        return 7
      },
      configCheck: async () => ({ value: { ok: false }, text: 'broken', exit: 3 }),
    },
  )
  assert.deepEqual(await forge('start', '--port', '1', '--data-dir', 'd'), {
    code: 7,
    out: '',
    err: '',
    json: null,
  })
  assert.deepEqual(seen, [{ port: '1', 'data-dir': 'd' }])
  assert.deepEqual((await forge('config', 'check', '--json')).json, { ok: false })
  assert.equal((await forge('config', 'check')).code, 3)
  assert.equal((await forge('version', '--json')).json.version, '1.2.3')
})

test('a name cannot take over the terminal', async (t) => {
  const { stand, forge } = await standAndForge(t)
  const org = (await forge('org', 'create', 'ok', '--json')).json
  await stand.owner.query('update tenancy.organization set name = $1', ['\u001b[2Jevil\u202e'])
  const { out } = await forge('org', 'list')
  assert.ok(out.includes(org.id))
  assert.ok(!out.includes('\u001b') && !out.includes('\u202e'))
})

test('operators from the command line: a link, who they are, another role, and an end', async (t) => {
  const { stand, forge } = await standAndForge(t)
  const link = await forge('operator', 'link')
  assert.equal(link.code, 0)
  assert.match(link.out, new RegExp(`^${stand.url}/operator/[\\w-]{32}\n$`))
  const code = link.out.trim().split('/').at(-1)
  const body = { code, email: 'ada@example.com', name: 'Ada', password: 'correct horse battery' }
  assert.equal((await stand.call('POST', '/api/auth/operator/claim', { token: null, body })).status, 200)
  const listed = await forge('operator', 'list', '--json')
  assert.deepEqual(
    listed.json.data.map(({ email, role }: { email: string; role: string }) => [email, role]),
    [['ada@example.com', 'admin']],
  )
  const [{ id }] = listed.json.data
  const demoted = await forge('operator', 'add', 'ada@example.com', '--role', 'auditor', '--json')
  assert.equal(demoted.json.error.code, 'conflict')
  assert.notEqual((await forge('operator', 'add', 'ada@example.com', '--role', 'king')).code, 0)
  assert.notEqual((await forge('operator', 'remove', id)).code, 0)
  assert.notEqual((await forge('operator', 'remove', 'key_01')).code, 0)
})
