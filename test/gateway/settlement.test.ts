import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Receipt } from '../../src/contract/index.ts'
import { SETTLEMENTS, type Settlement } from '../../src/contract/index.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import {
  type Asked,
  abandonHolds,
  ask,
  assertMoney,
  bodyOf,
  chargeNano,
  contentOf,
  errorOf,
  eventsOf,
  eventually,
  priceNano,
  type Told,
  usageOf,
  withUpstreams,
} from './ask.ts'
import { startStub } from './stub.ts'

const MODELS = testConfig({
  m: { ordinary: [''] },
  backup: { ordinary: ['status=500', 'drop-connection', ''] },
  free: { ordinary: [''], price: { input: '0', output: '0' } },
  window: { ordinary: ['ignore-max'], holdWindow: 40 },
})

const STREAM = { stream: true, stream_options: { include_usage: true } }

/** Every row of the matrix that some test of this file has seen; compared with the closed list at the end. */
const seen = new Set<Settlement>()

function expectReceipt(receipt: Receipt, status: Receipt['status'], settlement: Settlement): void {
  assert.equal(receipt.status, status)
  assert.equal(receipt.settlement, settlement)
  if (receipt.charge !== null) assert.equal(receipt.charge.settlement, settlement)
  seen.add(settlement)
}

function reportedCharge(told: Told): bigint {
  const usage = usageOf(told.json)
  assert.ok(usage !== null)
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0
  return priceNano(usage.prompt_tokens - cached, usage.completion_tokens, cached)
}

async function leave(
  forge: Forge,
  account: Account,
  asked: Asked,
  when: (text: string) => boolean,
): Promise<string | null> {
  const stop = new AbortController()
  const response = await forge.chat(account.key, bodyOf(asked), { signal: stop.signal })
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  while (reader !== undefined && !when(text)) {
    const piece = await reader.read()
    if (piece.done) break
    text += decoder.decode(piece.value, { stream: true })
  }
  stop.abort()
  return response.headers.get('x-request-id')
}

/** The newest receipt: for callers that left before they were told its id. */
async function newestReceipt(forge: Forge, account: Account): Promise<Receipt> {
  return eventually('a receipt', async () => {
    const response = await fetch(`${forge.url}/api/v1/receipts?limit=1`, {
      headers: { authorization: `Bearer ${account.key}` },
    })
    const page = (await response.json()) as { data: Receipt[] }
    const newest = page.data[0]
    return newest === undefined || newest.status === 'pending' ? null : newest
  })
}

test('settlement matrix: each row charges what it says, in a stream and whole', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()

  for (const [name, body] of [
    ['stream', STREAM],
    ['whole', {}],
  ] as const) {
    await t.test(`completed, usage reported: the reported usage is charged (${name})`, async () => {
      const told = await ask(forge, account, { model: 'm', body })
      assert.equal(told.status, 200)
      expectReceipt(told.receipt, 'completed', 'completed_reported')
      assert.equal(told.receipt.usage?.source, 'reported')
      assert.equal(chargeNano(told.receipt), reportedCharge(told))
      assert.equal(told.receipt.streamed, name === 'stream')
      assert.equal(told.receipt.attempts[0]?.billed_reason, 'the answer was delivered')
      assertMoney(told)
    })

    await t.test(`completed, cached input: each token is charged in one class only (${name})`, async () => {
      const text = 'A prompt that is long enough to be cached by whoever serves it. '.repeat(90)
      await ask(forge, account, { model: 'm', text, body })
      const told = await ask(forge, account, { model: 'm', text, body })
      const usage = usageOf(told.json)
      const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0
      assert.ok(cached >= 1024)
      assert.equal(told.receipt.usage?.cache_read, cached)
      assert.equal(told.receipt.usage?.input, (usage?.prompt_tokens ?? 0) - cached)
      assert.equal(chargeNano(told.receipt), reportedCharge(told))
      assertMoney(told)
    })

    await t.test(`completed, usage missing: counted here and marked as estimated (${name})`, async () => {
      for (const sandbox of ['no-usage', 'usage=null']) {
        const told = await ask(forge, account, { model: 'm', sandbox, body })
        assert.equal(told.status, 200)
        expectReceipt(told.receipt, 'completed', 'completed_estimated')
        assert.equal(told.receipt.usage?.source, 'estimated')
        assert.ok(told.receipt.flags.includes('usage_missing'))
        const { input, output } = told.receipt.usage ?? { input: 0, output: 0 }
        assert.equal(chargeNano(told.receipt), priceNano(input ?? 0, output ?? 0))
        const words = contentOf(told.json).length / 4
        assert.ok(Math.abs((output ?? 0) - words) <= words * 0.4 + 4, `${output} tokens for ${words}`)
        assertMoney(told)
      }
    })

    await t.test(`reported usage that is impossible is capped at what can be proven (${name})`, async () => {
      const sandbox = 'words=20, usage.completion_tokens=1000000000'
      const told = await ask(forge, account, { model: 'm', sandbox, body })
      expectReceipt(told.receipt, 'completed', 'completed_bounded')
      assert.equal(told.receipt.usage?.source, 'derived')
      assert.ok(told.receipt.flags.includes('usage_impossible'))
      assert.equal(told.receipt.usage?.output, 100)
      assertMoney(told)
    })

    await t.test(`empty completion: nothing is charged (${name})`, async () => {
      for (const sandbox of ['empty', 'empty, no-usage', 'empty, zero-usage']) {
        const told = await ask(forge, account, { model: 'm', sandbox, body })
        assert.equal(told.status, 200)
        expectReceipt(told.receipt, 'completed', 'empty_completion')
        assert.equal(told.receipt.no_charge_reason, 'the answer was empty: no text, no tool call')
        assert.equal(told.receipt.attempts[0]?.billed_reason, 'the answer was empty')
        assertMoney(told)
      }
    })

    await t.test(
      `an explicit zero is no missing usage: nothing is charged, and flagged (${name})`,
      async () => {
        const told = await ask(forge, account, { model: 'm', sandbox: 'zero-usage', body })
        expectReceipt(told.receipt, 'completed', 'completed_reported')
        assert.ok(told.receipt.flags.includes('usage_zero_with_output'))
        assert.match(told.receipt.no_charge_reason ?? '', /no tokens were used/)
        assertMoney(told)
      },
    )

    await t.test(`a price of zero charges nothing and says so (${name})`, async () => {
      const told = await ask(forge, account, { model: 'free', body })
      expectReceipt(told.receipt, 'completed', 'completed_reported')
      assert.equal(told.receipt.no_charge_reason, 'the price of this route is zero')
      assertMoney(told)
    })

    await t.test(`upstream failed before any output: nothing, with the reason (${name})`, async () => {
      const streamOnly = name === 'stream' ? ['end-early=0'] : ['cut=3']
      const faults = ['status=500', 'drop-connection', 'garbage', 'html', 'error-first', ...streamOnly]
      for (const sandbox of faults) {
        const told = await ask(forge, account, { model: 'm', sandbox, body })
        assert.equal(told.status, 502, sandbox)
        expectReceipt(told.receipt, 'failed', 'failed_before_output')
        assert.equal(told.receipt.no_charge_reason, 'no output reached you')
        assert.equal(told.receipt.attempts[0]?.result, 'error')
        assert.equal(told.receipt.attempts[0]?.billed_reason, 'nothing was delivered')
        assert.equal(told.receipt.error?.code, 'upstream_error')
        assert.ok((told.receipt.next_step ?? '').length > 0)
        assertMoney(told)
      }
    })

    await t.test(
      `attempts that failed and were retried cost nothing; one answer, one charge (${name})`,
      async () => {
        const told = await ask(forge, account, { model: 'backup', body })
        assert.equal(told.status, 200)
        expectReceipt(told.receipt, 'completed', 'completed_reported')
        assert.deepEqual(
          told.receipt.attempts.map(({ result, billed, role, next }) => [result, billed, role, next]),
          [
            ['error', false, 'primary', 'backup'],
            ['error', false, 'backup 1', 'backup'],
            ['ok', true, 'backup 2', 'answer'],
          ],
        )
        assert.equal(told.receipt.fallback, true)
        assert.equal(told.headers.get('x-tf-attempts'), '3')
        assert.equal(chargeNano(told.receipt), reportedCharge(told))
        assertMoney(told)
      },
    )

    await t.test(`refused here: nothing, still a receipt, and what to do next (${name})`, async () => {
      const told = await ask(forge, account, { model: 'no-such-model', body })
      assert.equal(told.status, 404)
      expectReceipt(told.receipt, 'refused', 'refused')
      assert.match(told.receipt.no_charge_reason ?? '', /refused before/)
      assert.deepEqual(told.receipt.attempts, [])
      assert.equal(told.receipt.next_step, errorOf(told).next_step)
      assertMoney(told)
    })
  }

  await t.test(
    'upstream failed after output had reached the client: the part is charged, the input once',
    async () => {
      for (const sandbox of [
        'words=40, delay=0, cut=20',
        'words=40, delay=0, end-early=20',
        'words=40, delay=0, error-event=20',
      ]) {
        const told = await ask(forge, account, { model: 'm', sandbox, body: STREAM })
        assert.equal(told.status, 200)
        expectReceipt(told.receipt, 'failed', 'failed_after_output')
        assert.equal(told.receipt.usage?.source, 'estimated')
        const { input, output } = told.receipt.usage ?? { input: 0, output: 0 }
        assert.ok((output ?? 0) > 8 && (output ?? 0) < 40, `${sandbox}: ${output}`)
        assert.equal(chargeNano(told.receipt), priceNano(input ?? 0, output ?? 0))
        assert.equal(told.receipt.attempts[0]?.billed_reason, 'a part of the answer was delivered')
        assert.equal(errorOf(told).code, 'upstream_error', 'the stream ends with an error event')
        assertMoney(told)
      }
    },
  )

  await t.test('usage that came before the failure is what is charged', async () => {
    const sandbox = 'words=40, delay=0, error-event=20, error-usage, usage.completion_tokens=17'
    const told = await ask(forge, account, { model: 'm', sandbox, body: STREAM })
    expectReceipt(told.receipt, 'failed', 'failed_after_output')
    assert.equal(told.receipt.usage?.output, 17)
    assert.equal(told.receipt.usage?.source, 'reported')
    assertMoney(told)
  })

  await t.test(
    'client went away in mid-stream: charged for what was generated, upstream cancelled',
    async () => {
      const before = (await forge.balance(account.orgId, 'rmb')).posted
      const asked = { model: 'm', sandbox: 'words=400, delay=5', body: { ...STREAM, max_tokens: 1_000 } }
      const id = await leave(forge, account, asked, (text) => eventsOf(text).length >= 10)
      const receipt = await forge.receipt(id)
      const after = (await forge.balance(account.orgId, 'rmb')).posted
      expectReceipt(receipt, 'cancelled', 'client_left')
      assert.equal(receipt.attempts[0]?.result, 'cancelled')
      const { input, output } = receipt.usage ?? { input: 0, output: 0 }
      assert.ok((output ?? 0) >= 4 && (output ?? 0) < 200, `${output}`)
      assert.equal(before - after, priceNano(input ?? 0, output ?? 0))
      assert.equal(before - after, chargeNano(receipt))
      const upstream = await forge.sandbox.requests.waitFor((request) => request.closedEarly)
      assert.ok(upstream.eventsSent < 300, 'the upstream was cancelled at once')
    },
  )

  await t.test('client went away before a provider had accepted: nothing', async () => {
    for (const body of [STREAM, {}]) {
      const stop = new AbortController()
      const seenBefore = forge.sandbox.requests.count
      const pending = forge
        .chat(account.key, bodyOf({ model: 'm', sandbox: 'slow-headers=5000', body }), {
          signal: stop.signal,
        })
        .catch(() => null)
      await eventually('the upstream call', () => (forge.sandbox.requests.count > seenBefore ? true : null))
      stop.abort()
      await pending
      await forge.settled()
      const receipt = await newestReceipt(forge, account)
      expectReceipt(receipt, 'cancelled', 'client_left_before_output')
      assert.equal(receipt.charge, null)
      assert.match(receipt.no_charge_reason ?? '', /before a provider had accepted/)
    }
  })

  await t.test(
    'a stream past what it may cost is cut with "length" and charged within the hold',
    async () => {
      const told = await ask(forge, account, { model: 'm', sandbox: 'ignore-max', body: STREAM })
      assert.equal(told.status, 200)
      expectReceipt(told.receipt, 'completed', 'cut_at_limit')
      assert.ok(told.receipt.flags.includes('cut_at_limit'))
      assert.equal(told.json.at(-2)?.choices?.[0]?.finish_reason, 'length')
      assert.equal(eventsOf(told.text).at(-1), '[DONE]')
      assert.ok((told.receipt.usage?.output ?? 0) <= 100)
      assertMoney(told)
    },
  )

  await t.test('a retry that gets a stored answer: nothing, the first has paid', async () => {
    await forge.app.tenancy.changeProject(account.projectId, { replayUnkeyedRetries: true })
    const sent = { model: 'm', text: 'retried' }
    const first = await ask(forge, account, { ...sent, headers: { 'x-stainless-retry-count': '0' } })
    const told = await ask(forge, account, { ...sent, headers: { 'x-stainless-retry-count': '1' } })
    expectReceipt(first.receipt, 'completed', 'completed_reported')
    expectReceipt(told.receipt, 'replayed', 'replayed')
    assert.equal(told.receipt.replay_of, first.receipt.id)
    assertMoney(told)
    await forge.app.tenancy.changeProject(account.projectId, { replayUnkeyedRetries: false })
  })

  await t.test('gateway crashed: recovered from the stored hold, the rest released', async () => {
    const stop = new AbortController()
    const asked = { model: 'm', sandbox: 'words=9000, delay=10', body: { ...STREAM, max_tokens: 9_000 } }
    const before = (await forge.balance(account.orgId, 'rmb')).posted
    const response = await forge.chat(account.key, bodyOf(asked), { signal: stop.signal })
    const id = response.headers.get('x-request-id')
    await abandonHolds(forge, { input: 12, output: 7 })
    const swept = await forge.app.recovery.sweep()
    // Let go of in any case: a stream that runs on would hide what went wrong behind a time-out.
    stop.abort()
    assert.equal(swept, 1)
    const receipt = await forge.receipt(id)
    await eventually('the late end', () => (forge.app.gateway.counters.active === 0 ? true : null))
    const after = (await forge.balance(account.orgId, 'rmb')).posted
    expectReceipt(receipt, 'recovered', 'recovered')
    assert.equal(before - after, priceNano(12, 7))
    assert.equal(chargeNano(receipt), priceNano(12, 7))
    assert.equal(receipt.usage?.source, 'estimated')
    await eventually('the late settlement', () =>
      forge.app.gateway.counters.lateSettlements === 1 ? true : null,
    )
    assert.deepEqual(await forge.receipt(id), receipt, 'the late settlement changed nothing')
  })

  await forge.settled()
  await forge.audit()
  assert.deepEqual([...seen].sort(), [...SETTLEMENTS].sort(), 'every row of the matrix was seen')
})

test('a whole answer whose caller left after the provider accepted is charged for its input', async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    res.write('{"id":"x","choices":[')
  })
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url })
  const forge = await startForge(t, { config })
  const account = await forge.account()
  const stop = new AbortController()
  const pending = forge.chat(account.key, bodyOf({ model: 'm' }), { signal: stop.signal }).catch(() => null)
  await eventually('the upstream call', () => (stub.calls.length > 0 ? true : null))
  await new Promise((resolve) => setTimeout(resolve, 50))
  stop.abort()
  await pending
  await forge.settled()
  const receipt = await newestReceipt(forge, account)
  assert.equal(receipt.settlement, 'client_left')
  assert.equal(receipt.status, 'cancelled')
  assert.equal(receipt.usage?.output, 0)
  assert.equal(chargeNano(receipt), priceNano(receipt.usage?.input ?? 0, 0))
  await forge.audit()
})
