import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Forge, startForge } from '../forge.ts'
import { chargeNano, eventually, priceNano } from '../gateway/ask.ts'
import { CHARGED, type Google, googleError, PROJECT, REFRESH_TOKEN, startGoogle } from './clouds.ts'
import { assertEveryCaller, configOf, SPEAKERS, speak } from './stand.ts'

const [MESSAGES, CHAT] = SPEAKERS
if (MESSAGES === undefined || CHAT === undefined) throw new Error('no speakers')

function channel(google: Google, protocol: string, credentials = google.serviceAccount): object {
  const platform = { kind: 'vertex', project: PROJECT, location: 'global', credentials }
  return { protocol, base_url: `${google.origin}/v1`, platform }
}

const CLAUDE = 'claude-sonnet-4-5@20250929'
const GEMINI = 'gemini-2.5-flash'

async function inOrder(forge: Forge): Promise<void> {
  await forge.settled()
  await forge.audit()
}

test('callers of every format reach Claude on Vertex with one token for them all, at the same charge', async (t) => {
  const google = await startGoogle(t)
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'anthropic') }, CLAUDE) })
  await assertEveryCaller(forge, await forge.account())
  assert.equal(google.calls.length, 8)
  assert.equal(google.exchanges.length, 1)
  assert.ok(google.calls.every(({ headers }) => headers['x-api-key'] === undefined))
})

test('callers of every format reach Gemini on Vertex, at the same charge', async (t) => {
  const google = await startGoogle(t)
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'gemini') }, GEMINI) })
  await assertEveryCaller(forge, await forge.account())
  assert.equal(google.exchanges.length, 1)
  assert.ok(google.calls.every(({ headers }) => headers['x-goog-api-key'] === undefined))
})

test('the OpenAI-compatible endpoint of Vertex needs nothing but the token', async (t) => {
  const google = await startGoogle(t)
  const openai = {
    ...channel(google, 'openai'),
    base_url: `${google.origin}/v1/projects/${PROJECT}/locations/global/endpoints/openapi`,
  }
  const forge = await startForge(t, { config: configOf({ c: openai }, 'google/gemini-2.5-flash') })
  const { status, receipt } = await speak(forge, await forge.account(), CHAT, false)
  assert.equal(status, 200)
  assert.equal(chargeNano(receipt), priceNano(CHARGED.input, CHARGED.output, CHARGED.cached))
  await inOrder(forge)
})

test('a beta of the caller stays a header on Vertex', async (t) => {
  const google = await startGoogle(t)
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'anthropic') }, CLAUDE) })
  await speak(forge, await forge.account(), MESSAGES, false, { 'anthropic-beta': 'context-1m-2025-08-07' })
  assert.equal(google.calls[0]?.headers['anthropic-beta'], 'context-1m-2025-08-07')
  assert.equal(google.calls[0]?.headers['anthropic-version'], undefined)
})

test('requests that come at once share one exchange, also over two channels of one credential', async (t) => {
  const google = await startGoogle(t)
  const channels = { a: channel(google, 'anthropic'), b: channel(google, 'anthropic') }
  const forge = await startForge(t, { config: configOf(channels, CLAUDE) })
  const account = await forge.account()
  const spoken = await Promise.all(
    Array.from({ length: 24 }, (_, at) => speak(forge, account, MESSAGES, at % 2 === 0)),
  )
  assert.ok(spoken.every(({ status }) => status === 200))
  assert.equal(google.exchanges.length, 1)
  await inOrder(forge)
})

test('a token that is about to run out is not sent any more; another one is fetched first', async (t) => {
  const google = await startGoogle(t, 7)
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'anthropic') }, CLAUDE) })
  const account = await forge.account()
  const until = performance.now() + 20_000
  while (google.exchanges.length < 2 && performance.now() < until) {
    const { status } = await speak(forge, account, MESSAGES, false)
    assert.equal(status, 200)
  }
  assert.equal(google.exchanges.length, 2)
  await inOrder(forge)
})

test('a token that is refused is renewed once, and the receipt shows both calls', async (t) => {
  const google = await startGoogle(t)
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'anthropic') }, CLAUDE) })
  const account = await forge.account()
  await speak(forge, account, MESSAGES, false)
  google.revoked.add('ya29.token-1')
  const { status, receipt } = await speak(forge, account, MESSAGES, true)
  assert.equal(status, 200)
  assert.deepEqual(
    receipt.attempts.map((attempt) => attempt.code),
    ['upstream_unauthorized', null],
  )
  assert.equal(google.exchanges.length, 2)
  assert.equal(chargeNano(receipt), priceNano(CHARGED.input, CHARGED.output, CHARGED.cached))
  await inOrder(forge)
})

test('a credential that is refused again and again costs two calls, not more, and no money', async (t) => {
  const google = await startGoogle(t)
  google.answer = (call, res) =>
    googleError(res, 401, 'UNAUTHENTICATED', `not ${call.headers.authorization} of ${PROJECT}`)
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'anthropic') }, CLAUDE) })
  const { status, text, receipt } = await speak(forge, await forge.account(), MESSAGES, false)
  assert.equal(status, 502)
  assert.equal(google.calls.length, 2)
  assert.deepEqual(
    receipt.attempts.map((attempt) => attempt.code),
    ['upstream_unauthorized', 'upstream_unauthorized'],
  )
  assert.equal(receipt.charge, null)
  assert.doesNotMatch(text + JSON.stringify(receipt), /ya29|forge-test-project/)
  await inOrder(forge)
})

test('without a token the channel is not called, the next one is, and only the operator reads why', async (t) => {
  const google = await startGoogle(t)
  const spare = await startGoogle(t)
  google.refusal = {
    status: 400,
    body: { error: 'invalid_grant', error_description: `Invalid JWT Signature of ${PROJECT}` },
  }
  const warned: string[] = []
  const log = {
    info() {},
    error() {},
    debug() {},
    warn: (fields: object) => warned.push(JSON.stringify(fields)),
  }
  const channels = { c: channel(google, 'anthropic'), spare: channel(spare, 'anthropic') }
  const forge = await startForge(t, { config: configOf(channels, CLAUDE), log: log as never })
  const account = await forge.account()
  for (const stream of [false, true]) {
    const { status, text, receipt } = await speak(forge, account, MESSAGES, stream)
    assert.equal(status, 200)
    assert.deepEqual(
      receipt.attempts.map((attempt) => attempt.code),
      ['no_access_token', null],
    )
    assert.doesNotMatch(text + JSON.stringify(receipt), /invalid_grant|JWT|forge-test-project/)
  }
  assert.equal(google.calls.length, 0)
  const said = warned.filter((line) => line.includes('invalid_grant'))
  assert.equal(said.length, 2)
  assert.match(said[0] ?? '', /"channel":"c","problem":"answered 400 invalid_grant"/)
  await inOrder(forge)
})

test('who leaves while a token is fetched has nothing sent for them, and nothing to pay', async (t) => {
  const google = await startGoogle(t)
  google.slowMs = 600
  const forge = await startForge(t, { config: configOf({ c: channel(google, 'anthropic') }, CLAUDE) })
  const account = await forge.account()
  const leaving = new AbortController()
  const asked = forge.chat(account.key, { model: 'm' }, { signal: leaving.signal })
  await eventually('the exchange', () => (google.exchanges.length > 0 ? true : null))
  leaving.abort()
  await assert.rejects(asked)
  await inOrder(forge)
  assert.equal(google.calls.length, 0)
  const { posted, held } = await forge.balance(account.orgId, 'rmb')
  assert.deepEqual([posted, held], [10_000_000_000n, 0n])
})

test('a token endpoint that says nothing is given up after ten seconds', async (t) => {
  const google = await startGoogle(t)
  const spare = await startGoogle(t)
  google.slowMs = 60_000
  const channels = { c: channel(google, 'anthropic'), spare: channel(spare, 'anthropic') }
  const forge = await startForge(t, { config: configOf(channels, CLAUDE) })
  const startedMs = performance.now()
  const { status, receipt } = await speak(forge, await forge.account(), MESSAGES, false)
  assert.equal(status, 200)
  assert.equal(receipt.attempts[0]?.code, 'no_access_token')
  assert.ok(performance.now() - startedMs < 14_000)
  await inOrder(forge)
})

test('the credential of a user, and the account a machine runs as, serve as well', async (t) => {
  const google = await startGoogle(t)
  process.env['GCE_METADATA_HOST'] = google.origin.slice('http://'.length)
  t.after(() => {
    delete process.env['GCE_METADATA_HOST']
  })
  for (const credentials of [google.authorizedUser, 'attached']) {
    const config = configOf({ c: channel(google, 'anthropic', credentials) }, CLAUDE)
    const forge = await startForge(t, { config })
    const { status, text } = await speak(forge, await forge.account(), MESSAGES, false)
    assert.equal(status, 200, text)
  }
  assert.equal(google.exchanges[0]?.get('refresh_token'), REFRESH_TOKEN)
  assert.equal(google.exchanges.length, 2)
})

test('refusals of Google are sorted by whose fault they are, in an envelope or a list', async (t) => {
  const google = await startGoogle(t)
  const spare = await startGoogle(t)
  const channels = { c: channel(google, 'anthropic'), spare: channel(spare, 'anthropic') }
  const forge = await startForge(t, { config: configOf(channels, CLAUDE) })
  const account = await forge.account()
  const cases: ReadonlyArray<readonly [number, string, string]> = [
    [400, 'FAILED_PRECONDITION', 'upstream_forbidden'],
    [403, 'PERMISSION_DENIED', 'upstream_forbidden'],
    [404, 'NOT_FOUND', 'upstream_not_found'],
    [429, 'RESOURCE_EXHAUSTED', 'rate_limited'],
  ]
  for (const [code, word, told] of cases) {
    google.answer = (_call, res) => googleError(res, code, word, `projects/${PROJECT} may not`)
    const { status, text, receipt } = await speak(forge, account, MESSAGES, false)
    assert.equal(status, 200)
    assert.deepEqual(
      receipt.attempts.map((attempt) => attempt.code),
      [told, null],
    )
    assert.doesNotMatch(text + JSON.stringify(receipt), /forge-test-project/)
  }
  google.answer = (_call, res) => googleError(res, 400, 'INVALID_ARGUMENT', `projects/${PROJECT}: bad tool`)
  const refused = await speak(forge, account, MESSAGES, false)
  assert.equal(refused.status, 400)
  assert.match(refused.text, /bad tool/)
  assert.doesNotMatch(refused.text + JSON.stringify(refused.receipt), /forge-test-project/)
  await inOrder(forge)
})
