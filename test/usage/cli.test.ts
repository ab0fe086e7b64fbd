import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { runCli } from '../../src/cli/index.ts'
import { type ApiStand, startApi } from '../api-stand.ts'
import { fund, spend } from './stand.ts'

const unused = (): Promise<number> => Promise.reject(new Error('not asked for'))

function forge(url: string, token: string | null) {
  return async (...argv: string[]) => {
    const said = { out: '', err: '' }
    const code = await runCli(argv, {
      settings: {
        url,
        operatorToken: async () => token,
        language: 'en',
        version: '1.2.3',
        newId: () => '0192d3a0-0000-7000-8000-000000000000',
      },
      actions: { start: unused, migrate: unused, configCheck: unused, doctor: unused },
      io: {
        out: (text) => {
          said.out += text
        },
        err: (text) => {
          said.err += text
        },
      },
    })
    return { code, ...said }
  }
}

async function standAndForge(t: TestContext) {
  const stand: ApiStand = await startApi(t)
  return { stand, a: await stand.customer('Alpha'), run: forge(stand.url, stand.operator) }
}

test('usage, channels, prices and exports are shown', async (t) => {
  const { stand, a, run } = await standAndForge(t)
  await fund(stand, a.org)
  const id = await spend(stand, a, {
    at: '2026-03-08T12:00:00Z',
    bucket: 'rmb',
    chargeNano: 5n,
    channels: ['direct', 'relay'],
  })
  await spend(stand, a, { at: '2026-03-09T12:00:00Z', status: 'refused', model: null })
  const usage = await run('usage', '--org', a.org, '--by', 'day,key')
  assert.equal(usage.code, 0, usage.err)
  assert.match(usage.out, /2026-03-08 +key_\S+ Alpha +rmb +1 +0 +0 +0 +- +- +- +0\.000000005 CNY/)
  assert.match(usage.out, /\(all\) +rmb +1 /)
  assert.match(
    (await run('channel', 'list')).out,
    /direct +Direct +openai +127\.0\.0\.1:9 +m-one:official \(primary\)/,
  )
  assert.match((await run('channel', 'show', 'relay')).out, /m-one:ordinary as m-relay/)
  assert.match(
    (await run('price', 'list', '--state', 'current')).out,
    /pv_\S+ +m-one +ordinary +current +- +CNY +/,
  )
  const list = await run(
    'receipt',
    'list',
    '--fallback',
    '--bucket',
    'rmb',
    '--min-charge',
    '0.000000005',
    '--json',
  )
  assert.deepEqual(
    JSON.parse(list.out).data.map((one: { id: string }) => one.id),
    [id],
  )
  const csv = await run('receipt', 'export', '--org', a.org, '--format', 'csv')
  assert.equal(csv.out.trimEnd().split('\n').length, 3)
  assert.equal((await run('price', 'list', '--state', 'old')).code, 2)
})

test('the first word of commands lists them; what is missing says where it is looked for', async () => {
  const run = forge('http://127.0.0.1:9', null)
  for (const words of [['wallet', '--help'], ['wallet'], ['help', 'wallet'], ['wallet', '-h']]) {
    const { code, out } = await run(...words)
    assert.equal(code, 0, words.join(' '))
    assert.match(out, /forge wallet show --org/)
    assert.match(out, /forge wallet grant/)
  }
  assert.equal((await run('walet', '--help')).code, 2)
  assert.equal((await run('wallet', 'shov')).code, 2)
  const without = await run('org', 'list')
  assert.equal(without.code, 3)
  assert.match(without.err, /FORGE_DATA_DIR/)
  assert.match((await forge('http://127.0.0.1:59999', 'x')('org', 'list')).err, /FORGE_PORT or give --url/)
})

test('a key for models and routes that are not there is made, with a note', async (t) => {
  const { a, run } = await standAndForge(t)
  const made = await run(
    'key',
    'create',
    '--project',
    a.project,
    '--models',
    'm-on,m-one',
    '--routes',
    'oficial,ordinary',
  )
  assert.equal(made.code, 0, made.err)
  assert.match(made.out, /sk-tf-/)
  assert.match(made.err, /no model m-on in the catalog now; did you mean m-one\?/)
  assert.match(made.err, /no route oficial in the catalog now; did you mean official\?/)
  assert.ok(!/no model m-one|no route ordinary/.test(made.err))
})
