import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Forge, startForge } from '../forge.ts'
import { chargeNano, priceNano } from '../gateway/ask.ts'
import {
  ACCESS,
  amazonError,
  BEDROCK_MODEL,
  beginFrames,
  CHARGED,
  CLAUDE_EVENTS,
  type Cloud,
  REGION,
  SESSION,
  startBedrock,
} from './clouds.ts'
import { chunkFrame, exceptionFrame } from './frames.ts'
import { assertEveryCaller, configOf, SPEAKERS, speak } from './stand.ts'

const [MESSAGES, CHAT] = SPEAKERS
if (MESSAGES === undefined || CHAT === undefined) throw new Error('no speakers')

const SIGNING = {
  kind: 'bedrock',
  region: REGION,
  access_key_id: ACCESS.id,
  secret_access_key: ACCESS.secret,
  session_token: SESSION,
}

function channel(cloud: Cloud, more: object = {}): object {
  return { protocol: 'anthropic', base_url: cloud.origin, platform: SIGNING, ...more }
}

const SPARE_KEY = 'bedrock-api-key-of-the-test'

/** A first channel that is signed and does what the test says, and a second one that serves. */
async function withSpare(t: Parameters<Parameters<typeof test>[0] & object>[0]) {
  const first = await startBedrock(t)
  const spare = await startBedrock(t, SPARE_KEY)
  const config = configOf(
    {
      first: channel(first),
      spare: channel(spare, { api_key: SPARE_KEY, platform: { kind: 'bedrock', region: REGION } }),
    },
    BEDROCK_MODEL,
  )
  const forge = await startForge(t, { config })
  return { first, spare, forge, account: await forge.account() }
}

async function inOrder(forge: Forge): Promise<void> {
  await forge.settled()
  await forge.audit()
}

test('callers of every format reach Claude on Bedrock with a signature that checks out, at the same charge', async (t) => {
  const cloud = await startBedrock(t)
  const forge = await startForge(t, { config: configOf({ c: channel(cloud) }, BEDROCK_MODEL) })
  await assertEveryCaller(forge, await forge.account())
  assert.equal(cloud.calls.length, 8)
  for (const { headers } of cloud.calls) {
    assert.equal(headers['x-api-key'], undefined)
    assert.equal(headers['anthropic-version'], undefined)
  }
})

test('a Bedrock API key goes as a bearer token, and nothing is signed', async (t) => {
  const cloud = await startBedrock(t, 'bedrock-api-key-0123')
  const platform = { kind: 'bedrock', region: REGION }
  const config = configOf({ c: channel(cloud, { api_key: 'bedrock-api-key-0123', platform }) }, BEDROCK_MODEL)
  const forge = await startForge(t, { config })
  await assertEveryCaller(forge, await forge.account())
  assert.ok(cloud.calls.every(({ headers }) => headers['x-amz-date'] === undefined))
})

test('betas of the caller stand in the body, beside those already there, and its bytes stay as they are', async (t) => {
  const cloud = await startBedrock(t)
  const platform = { ...SIGNING, betas: ['a-1', 'b-2'] }
  const forge = await startForge(t, { config: configOf({ c: channel(cloud, { platform }) }, BEDROCK_MODEL) })
  const account = await forge.account()
  const raw = `{"model":"m", "max_tokens" : 100,"anthropic_version":"2023-06-01","anthropic_beta":["a-1"],"messages":[ {"role":"user","content":"caf\\u00e9"} ],"temperature":1.0,"stream":false}`
  const response = await fetch(`${forge.url}/v1/messages`, {
    method: 'POST',
    headers: {
      'x-api-key': account.key,
      'content-type': 'application/json',
      'anthropic-version': '2023-06-01',
      'anthropic-beta': 'b-2, a-1, c-3',
    },
    body: raw,
  })
  assert.equal(response.status, 200, await response.text())
  const call = cloud.calls[0]
  assert.equal(
    call?.text,
    '{"max_tokens":100,"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a-1","b-2"],"messages":[ {"role":"user","content":"caf\\u00e9"} ],"temperature":1.0}',
  )
  assert.equal(call?.headers['anthropic-beta'], undefined)
  assert.equal(response.headers.get('x-tf-dropped'), 'anthropic-beta:c-3')
  await inOrder(forge)
})

test('betas that AWS does not list are left out and told, so that agents which send their own are served', async (t) => {
  const cloud = await startBedrock(t)
  const forge = await startForge(t, { config: configOf({ c: channel(cloud) }, BEDROCK_MODEL) })
  const account = await forge.account()
  const names = 'oauth-2025-04-20,interleaved-thinking-2025-05-14'
  const spoken = await speak(forge, account, MESSAGES, true, { 'anthropic-beta': names })
  assert.equal(spoken.status, 200)
  assert.deepEqual(cloud.calls[0]?.body['anthropic_beta'], ['interleaved-thinking-2025-05-14'])
  await speak(forge, account, MESSAGES, true, { 'anthropic-beta': 'oauth-2025-04-20' })
  assert.equal('anthropic_beta' in (cloud.calls[1]?.body ?? {}), false)
  const odd = { ...MESSAGES.body(false), anthropic_beta: ['line\nbreak', 7, null] }
  const response = await forge.post('/v1/messages', account.key, odd)
  assert.equal(response.status, 200, await response.text())
  assert.equal(response.headers.get('x-tf-dropped'), 'anthropic-beta')
  await inOrder(forge)
})

test('the OpenAI-compatible endpoint of Bedrock needs nothing but the signature', async (t) => {
  const cloud = await startBedrock(t)
  const openai = channel(cloud, { protocol: 'openai', base_url: `${cloud.origin}/openai/v1` })
  const forge = await startForge(t, { config: configOf({ c: openai }, 'openai.gpt-oss-120b-1:0') })
  const { status, receipt } = await speak(forge, await forge.account(), CHAT, false)
  assert.equal(status, 200)
  assert.equal(chargeNano(receipt), priceNano(CHARGED.input, CHARGED.output, CHARGED.cached))
  assert.equal(cloud.calls[0]?.body['model'], 'openai.gpt-oss-120b-1:0')
  await inOrder(forge)
})

test('what is the channel’s fault goes on to the next channel, whatever status it came with', async (t) => {
  const { first, forge, account } = await withSpare(t)
  const arn = 'arn:aws:iam::123456789012:user/gateway'
  const cases: ReadonlyArray<readonly [number, string, string, string]> = [
    [403, 'AccessDeniedException', `User: ${arn} is not authorized`, 'upstream_forbidden'],
    [403, 'ExpiredTokenException', 'The security token is expired', 'upstream_unauthorized'],
    [403, 'UnrecognizedClientException', `The key ${ACCESS.id} is invalid`, 'upstream_unauthorized'],
    [400, 'ValidationException', 'The provided model identifier is invalid.', 'upstream_not_found'],
    [400, 'IncompleteSignature', `Credential=${ACCESS.id}`, 'upstream_unauthorized'],
    [400, 'ServiceQuotaExceededException', 'Too many of them', 'rate_limited'],
    [404, 'ResourceNotFoundException', `Could not resolve ${arn}`, 'upstream_not_found'],
    [429, 'ThrottlingException', 'Too many tokens', 'rate_limited'],
    [503, 'ServiceUnavailableException', 'busy', 'unavailable'],
  ]
  for (const [status, kind, message, code] of cases) {
    first.answer = (_call, res) => amazonError(res, status, kind, message)
    for (const stream of [false, true]) {
      const { status: told, text, receipt } = await speak(forge, account, MESSAGES, stream)
      assert.equal(told, 200, text)
      assert.deepEqual(
        receipt.attempts.map((attempt) => attempt.code),
        [code, null],
        kind,
      )
      assert.doesNotMatch(JSON.stringify(receipt) + text, /arn:aws|AKIA|123456789012/, kind)
    }
  }
  await inOrder(forge)
})

test('what is the caller’s fault is told in the provider’s words, without names and keys of the account', async (t) => {
  const { first, spare, forge, account } = await withSpare(t)
  first.answer = (_call, res) =>
    amazonError(
      res,
      400,
      'ValidationException',
      `messages: too odd for arn:aws:bedrock:us-east-1:123456789012:x/y with ${ACCESS.id} and ${SESSION}`,
    )
  const { status, text, receipt } = await speak(forge, account, MESSAGES, false)
  assert.equal(status, 400)
  assert.match(text, /messages: too odd for/)
  assert.doesNotMatch(text + JSON.stringify(receipt), /arn:aws|AKIA|123456789012|session-token/)
  assert.equal(receipt.charge, null)
  assert.equal(spare.calls.length, 0)
  await inOrder(forge)
})

test('an exception before any output goes on to the next channel; after it, the stream ends with an error event', async (t) => {
  const { first, forge, account } = await withSpare(t)
  first.answer = (_call, res) => {
    beginFrames(res)
    res.end(Buffer.concat([chunkFrame(CLAUDE_EVENTS[0]), exceptionFrame('throttlingException', 'slow')]))
  }
  for (const speaker of SPEAKERS) {
    const { status, receipt } = await speak(forge, account, speaker, true)
    assert.equal(status, 200)
    assert.deepEqual(
      receipt.attempts.map((attempt) => attempt.code),
      ['upstream_error_event', null],
      speaker.name,
    )
  }
  first.answer = (_call, res) => {
    beginFrames(res)
    const begun = CLAUDE_EVENTS.slice(0, 3).map(chunkFrame)
    res.end(Buffer.concat([...begun, exceptionFrame('modelStreamErrorException', `arn:aws:x ${ACCESS.id}`)]))
  }
  for (const speaker of SPEAKERS) {
    const { text, receipt } = await speak(forge, account, speaker, true)
    assert.match(text, /Bonjour /, speaker.name)
    assert.match(text, /broke off/, speaker.name)
    assert.doesNotMatch(text + JSON.stringify(receipt), /arn:aws|AKIA|modelStream/, speaker.name)
    assert.equal(receipt.status, 'failed', speaker.name)
    assert.equal(receipt.settlement, 'failed_after_output', speaker.name)
  }
  await inOrder(forge)
})

test('frames with a wrong checksum, and streams cut within a frame, are a fault of the channel', async (t) => {
  const { first, forge, account } = await withSpare(t)
  const whole = Buffer.concat(CLAUDE_EVENTS.map(chunkFrame))
  const wrong = Buffer.from(whole)
  wrong[40] = (wrong[40] ?? 0) ^ 1
  const cases: ReadonlyArray<readonly [Buffer, string]> = [
    [wrong, 'protocol_error'],
    [whole.subarray(0, 100), 'stream_cut'],
    [Buffer.from('no frames at all, but text'), 'protocol_error'],
  ]
  for (const [bytes, code] of cases) {
    first.answer = (_call, res) => {
      beginFrames(res)
      res.end(bytes)
    }
    const { status, receipt } = await speak(forge, account, MESSAGES, true)
    assert.equal(status, 200)
    assert.deepEqual(
      receipt.attempts.map((attempt) => attempt.code),
      [code, null],
    )
  }
  await inOrder(forge)
})

test('a key that signs wrongly is refused by the cloud and told to nobody', async (t) => {
  const cloud = await startBedrock(t)
  const platform = { ...SIGNING, secret_access_key: 'another-secret-of-the-test-012345678' }
  const forge = await startForge(t, { config: configOf({ c: channel(cloud, { platform }) }, BEDROCK_MODEL) })
  const { status, text, receipt } = await speak(forge, await forge.account(), MESSAGES, false)
  assert.equal(status, 502)
  assert.equal(receipt.attempts[0]?.code, 'upstream_unauthorized')
  assert.equal(receipt.charge, null)
  assert.doesNotMatch(text + JSON.stringify(receipt), /secret|AKIA|signature/i)
  assert.equal(cloud.calls.length, 1)
  await inOrder(forge)
})
