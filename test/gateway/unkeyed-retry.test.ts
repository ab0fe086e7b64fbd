import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { formatId, parseId } from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN, startBeside, startForge, testConfig } from '../forge.ts'
import { bodyOf, chargeNano, eventually } from './ask.ts'
import { startWire } from './swallow.ts'

/** A14: the retry of an official SDK, which carries no Idempotency-Key, is recognized where the project asks for it. */

const MODELS = testConfig({
  m: { ordinary: [''] },
  slow: { ordinary: ['first-token=600'] },
  bad: { ordinary: ['status=500'] },
  claude: { protocol: 'anthropic', ordinary: [''] },
})
const STREAM = { stream: true, stream_options: { include_usage: true } }

async function replaying(forge: Forge): Promise<Account> {
  const account = await forge.account()
  await forge.app.tenancy.changeProject(account.projectId, { replayUnkeyedRetries: true })
  return account
}

interface Sent {
  readonly body: object
  readonly retry?: number
  readonly url?: string
  readonly path?: string
  readonly headers?: Record<string, string>
}

const send = (forge: Forge, account: Pick<Account, 'key'>, sent: Sent): Promise<Response> =>
  fetch(`${sent.url ?? forge.url}${sent.path ?? '/v1/chat/completions'}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${account.key}`,
      ...(sent.retry === undefined ? {} : { 'x-stainless-retry-count': String(sent.retry) }),
      ...sent.headers,
    },
    body: JSON.stringify(sent.body),
  })

interface Heard {
  readonly status: number
  readonly text: string
  readonly id: string | null
  readonly replayOf: string | null
  readonly headers: Headers
}

async function hear(pending: Promise<Response>): Promise<Heard> {
  const { status, headers, ...response } = await pending.then(async (response) => ({
    status: response.status,
    headers: response.headers,
    text: await response.text(),
  }))
  return {
    status,
    text: response.text,
    headers,
    id: headers.get('x-request-id'),
    replayOf: headers.get('x-tf-replay-of'),
  }
}

/** Of the requests of an account: how many were charged, and what became of each. */
async function rows(forge: Forge, account: Account) {
  await forge.settled()
  return forge.owner.query<{ status: string; charge: bigint }>(
    'select status, charge from ledger.receipt where org_id = $1 order by id',
    [account.orgId],
  )
}

test('A14: an SDK whose first answer is lost on the way pays once and gets that answer', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const wire = await startWire(t, forge.url)
  const ways: Record<string, (key: string) => Promise<string>> = {
    'openai, whole': async (key) => {
      const client = new OpenAI({ apiKey: key, baseURL: `${wire.url}/v1` })
      const answer = await client.chat.completions.create({
        model: 'm',
        messages: [{ role: 'user', content: 'Hello, openai.' }],
      })
      return answer.choices[0]?.message.content ?? ''
    },
    'openai, stream': async (key) => {
      const client = new OpenAI({ apiKey: key, baseURL: `${wire.url}/v1` })
      const stream = await client.chat.completions.create({
        model: 'm',
        messages: [{ role: 'user', content: 'Hello, openai stream.' }],
        stream: true,
      })
      let text = ''
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
      return text
    },
    'anthropic, whole': async (key) => {
      const client = new Anthropic({ apiKey: key, baseURL: wire.url })
      const answer = await client.messages.create({
        model: 'claude',
        max_tokens: 200,
        messages: [{ role: 'user', content: 'Hello, anthropic.' }],
      })
      return answer.content.map((block) => (block.type === 'text' ? block.text : '')).join('')
    },
    'anthropic, stream': async (key) => {
      const client = new Anthropic({ apiKey: key, baseURL: wire.url })
      const stream = client.messages.stream({
        model: 'claude',
        max_tokens: 200,
        messages: [{ role: 'user', content: 'Hello, anthropic stream.' }],
      })
      return stream.finalText()
    },
  }
  for (const [name, ask] of Object.entries(ways))
    await t.test(name, async () => {
      const account = await replaying(forge)
      const calls = forge.sandbox.requests.count
      const lost = wire.swallowed
      wire.swallow(1)
      const text = await ask(account.key)
      assert.ok(text.length > 5, text)
      assert.equal(wire.swallowed, lost + 1, 'the first answer was lost')
      assert.equal(forge.sandbox.requests.count, calls + 1, 'one upstream call')
      const told = await rows(forge, account)
      assert.deepEqual(
        told.map((row) => row.status),
        ['completed', 'replayed'],
      )
      assert.equal(told.filter((row) => row.charge > 0n).length, 1, 'one charge')
    })

  await t.test('twice lost is still one charge', async () => {
    const account = await replaying(forge)
    const calls = forge.sandbox.requests.count
    wire.swallow(2)
    await ways['openai, whole']?.(account.key)
    assert.equal(forge.sandbox.requests.count, calls + 1)
    assert.deepEqual(
      (await rows(forge, account)).map((row) => row.status),
      ['completed', 'replayed', 'replayed'],
    )
  })

  await t.test('a project that did not ask for it pays for both, and nothing is kept for it', async () => {
    const account = await forge.account()
    wire.swallow(1)
    await ways['openai, whole']?.(account.key)
    assert.deepEqual(
      (await rows(forge, account)).map((row) => row.status),
      ['completed', 'completed'],
    )
    const kept = await forge.owner.query('select from gateway.idempotency where org_id = $1', [account.orgId])
    assert.equal(kept.length, 0)
  })
  await forge.audit()
})

test('A14: what is a retry of what', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await replaying(forge)

  for (const [name, more] of [
    ['whole', {}],
    ['stream', STREAM],
  ] as const)
    await t.test(`the retry gets the same bytes, and its own receipt names the first (${name})`, async () => {
      const body = bodyOf({ model: 'm', text: `linked ${name}`, body: more })
      const first = await hear(send(forge, account, { body, retry: 0 }))
      await forge.settled()
      const before = (await forge.balance(account.orgId, 'rmb')).available
      const retry = await hear(send(forge, account, { body, retry: 1 }))
      assert.equal(retry.text, first.text)
      assert.equal(retry.headers.get('x-tf-replayed'), 'true')
      assert.deepEqual([retry.replayOf, first.replayOf], [first.id, null])
      assert.notEqual(retry.id, first.id)
      for (const header of ['content-type', 'x-tf-charge', 'x-tf-bucket', 'x-tf-route'])
        assert.equal(retry.headers.get(header), first.headers.get(header), header)
      const receipt = await forge.receipt(retry.id)
      assert.deepEqual(
        [receipt.status, receipt.replay_of, receipt.charge, receipt.hold, receipt.attempts.length],
        ['replayed', first.id, null, null, 0],
      )
      assert.match(receipt.no_charge_reason ?? '', /that request paid/)
      assert.ok(receipt.explanation.en.includes(first.id ?? '-'))
      const paid = await forge.receipt(first.id)
      assert.ok(chargeNano(paid) > 0n)
      assert.equal(paid.replay_of, null)
      await forge.settled()
      assert.equal((await forge.balance(account.orgId, 'rmb')).available, before)
    })

  await t.test('what is not the retry of it is a request of its own', async () => {
    const body = bodyOf({ model: 'm', text: 'apart' })
    const first = await hear(send(forge, account, { body, retry: 0 }))
    const other = await forge.app.tenancy.createKey({
      projectId: account.projectId,
      label: 'other',
      policy: 'ordinary_only',
      allowCrossBalance: false,
      models: null,
      routes: null,
      expiresAtMs: null,
    })
    const stranger = await replaying(forge)
    const others: readonly (readonly [string, Pick<Account, 'key'>, Sent])[] = [
      ['without a count', account, { body }],
      ['a count of 0', account, { body, retry: 0 }],
      ['another body', account, { body: { ...body, temperature: 0.5 }, retry: 1 }],
      ['another query', account, { body, retry: 1, path: '/v1/chat/completions?x=1' }],
      ['another route', account, { body, retry: 1, headers: { 'x-tf-route': 'ordinary' } }],
      ['another key', { key: other?.secret ?? '' }, { body, retry: 1 }],
      ['another organization', stranger, { body, retry: 1 }],
      ['no number', account, { body, headers: { 'x-stainless-retry-count': '-1' } }],
    ]
    for (const [name, who, sent] of others) {
      const heard = await hear(send(forge, who, sent))
      assert.deepEqual([heard.status, heard.replayOf], [200, null], name)
    }
    const retry = await hear(send(forge, account, { body, retry: 1 }))
    assert.notEqual(retry.replayOf, null)
    assert.equal(retry.text.length, first.text.length)
  })

  await t.test('a failure is not given again: the retry is sent, and its answer is kept', async () => {
    const refused = bodyOf({ model: 'bad', text: 'fails' })
    assert.equal((await hear(send(forge, account, { body: refused, retry: 0 }))).status, 502)
    const calls = forge.sandbox.requests.count
    assert.equal((await hear(send(forge, account, { body: refused, retry: 1 }))).status, 502)
    assert.ok(forge.sandbox.requests.count > calls, 'it was sent again')
    const broken = bodyOf({ model: 'm', sandbox: 'words=30, delay=0, cut=9', body: STREAM })
    const first = await hear(send(forge, account, { body: broken, retry: 0 }))
    assert.match(first.text, /upstream_error/)
    const again = await hear(send(forge, account, { body: broken, retry: 1 }))
    assert.equal(again.replayOf, null)
  })

  await t.test(
    'of two equal requests, the retry of the one that failed is not given the answer of the other',
    async () => {
      const body = bodyOf({ model: 'm', text: 'twins' })
      const served = await hear(send(forge, account, { body, retry: 0 }))
      const failed = await hear(send(forge, account, { body, retry: 0 }))
      // As if the second had failed: it ended, and there is no answer of it.
      await forge.owner.query(
        `update gateway.idempotency set answer = null, status = null where request_id::text = $1`,
        [await uuidOf(forge, failed.id)],
      )
      const retry = await hear(send(forge, account, { body, retry: 1 }))
      assert.deepEqual([retry.status, retry.replayOf], [200, null], 'a call of its own')
      const lost = await hear(send(forge, account, { body, retry: 1 }))
      assert.equal(lost.replayOf, served.id, 'and the answer that is left is given once')
      const third = await hear(send(forge, account, { body, retry: 1 }))
      assert.equal(third.replayOf, null)
    },
  )

  await t.test('while the first still runs, the retry is told to wait; then it gets the answer', async () => {
    const body = bodyOf({ model: 'slow', text: 'running' })
    const calls = forge.sandbox.requests.count
    const first = hear(send(forge, account, { body, retry: 0 }))
    await eventually('the upstream call', () => (forge.sandbox.requests.count > calls ? true : null))
    const early = await hear(send(forge, account, { body, retry: 1 }))
    assert.equal(early.status, 409)
    assert.match(early.text, /request_in_progress/)
    assert.deepEqual([early.headers.get('retry-after'), early.headers.get('x-should-retry')], ['1', 'true'])
    const { id } = await first
    const late = await hear(send(forge, account, { body, retry: 2 }))
    assert.deepEqual([late.status, late.replayOf], [200, id])
    assert.equal(forge.sandbox.requests.count, calls + 1)
  })

  await t.test(
    'ten retries at once of one request: one gets its answer, the others are their own',
    async () => {
      const body = bodyOf({ model: 'm', text: 'crowd' })
      const first = await hear(send(forge, account, { body, retry: 0 }))
      const all = await Promise.all(
        Array.from({ length: 10 }, () => hear(send(forge, account, { body, retry: 1 }))),
      )
      assert.equal(all.filter((heard) => heard.replayOf === first.id).length, 1)
      assert.ok(all.every((heard) => heard.status === 200 || heard.status === 409))
    },
  )

  await t.test('after a minute the answer is gone', async () => {
    const body = bodyOf({ model: 'm', text: 'old' })
    const first = await hear(send(forge, account, { body, retry: 0 }))
    await forge.owner.query(
      `update gateway.idempotency set stored_at = stored_at - interval '61 seconds' where request_id::text = $1`,
      [await uuidOf(forge, first.id)],
    )
    assert.equal((await hear(send(forge, account, { body, retry: 1 }))).replayOf, null)
  })

  await t.test('another gateway over the same database gives it too', async () => {
    const { app: second, url } = await startBeside(forge)
    try {
      const body = bodyOf({ model: 'm', text: 'elsewhere' })
      const first = await hear(send(forge, account, { body, retry: 0 }))
      const retry = await hear(send(forge, account, { body, retry: 1, url }))
      assert.deepEqual([retry.replayOf, retry.text], [first.id, first.text])
    } finally {
      await second.close(1_000)
    }
  })
  await forge.settled()
  await forge.audit()
})

test('the setting is changed over the API, told in the log of changes, and in force at once', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const body = bodyOf({ model: 'm', text: 'setting' })
  await hear(send(forge, account, { body, retry: 0 }))
  const set = async (on: boolean): Promise<unknown> => {
    const response = await fetch(`${forge.url}/api/v1/projects/${formatId('prj', account.projectId)}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ replay_unkeyed_retries: on }),
    })
    return ((await response.json()) as { replay_unkeyed_retries?: unknown }).replay_unkeyed_retries
  }
  const retry = async (): Promise<boolean> => {
    await hear(send(forge, account, { body, retry: 0 }))
    return (await hear(send(forge, account, { body, retry: 1 }))).replayOf !== null
  }
  assert.equal(await retry(), false)
  assert.equal(await set(true), true)
  assert.equal(await retry(), true)
  assert.equal(await set(false), false)
  assert.equal(await retry(), false)
  const events = await forge.owner.query<{
    before: { replay_unkeyed_retries: boolean }
    after: { replay_unkeyed_retries: boolean }
  }>(
    `select before, after from tenancy.audit_event where action = 'project.change' and org_id = $1 order by seq`,
    [account.orgId],
  )
  assert.deepEqual(
    events.map(({ before, after }) => [before.replay_unkeyed_retries, after.replay_unkeyed_retries]),
    [
      [false, true],
      [true, false],
    ],
  )
})

async function uuidOf(forge: Forge, id: string | null): Promise<string> {
  const { id: found } = await forge.owner.one<{ id: string }>(
    'select request_id::text as id from gateway.idempotency where request_id::text = $1',
    [parseId('req', id ?? '')],
  )
  return found
}
