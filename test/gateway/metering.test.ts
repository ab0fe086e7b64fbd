import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNano } from '../../src/kernel/index.ts'
import { startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, bodyOf, chargeNano, eventsOf, priceNano, usageOf, withUpstreams } from './ask.ts'
import { answerBody, chunkOf, FINISH_CHUNK, startStub, usageChunk } from './stub.ts'

const STREAM = { stream: true, stream_options: { include_usage: true } }

/** What an upstream may claim: switches, the settlement it leads to, and a flag the receipt must carry. */
const CLAIMS: ReadonlyArray<readonly [sandbox: string, settlement: string, flag: string | null]> = [
  ['usage.completion_tokens=200', 'completed_bounded', 'usage_impossible'],
  ['usage.completion_tokens=20000000000', 'completed_bounded', 'usage_impossible'],
  ['usage.prompt_tokens=20000000000', 'completed_bounded', 'usage_impossible'],
  [
    'usage.prompt_tokens=9007199254740991, usage.completion_tokens=9007199254740991',
    'completed_bounded',
    'usage_impossible',
  ],
  ['usage.prompt_tokens=1e400', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens=1e400', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens=-1e400', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens="12"', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens=-5', 'completed_estimated', 'usage_invalid'],
  ['usage.prompt_tokens=-5', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens=3.5', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens=true', 'completed_estimated', 'usage_invalid'],
  ['usage.completion_tokens={}', 'completed_estimated', 'usage_invalid'],
  ['usage.prompt_tokens=null', 'completed_estimated', 'usage_invalid'],
  ['usage.prompt_tokens_details.cached_tokens=-5', 'completed_estimated', 'usage_invalid'],
  ['usage=null', 'completed_estimated', 'usage_missing'],
  ['no-usage', 'completed_estimated', 'usage_missing'],
  ['usage={}', 'completed_estimated', 'usage_invalid'],
  ['usage.prompt_tokens_details.cached_tokens=5000', 'completed_bounded', 'cached_exceeds_input'],
  ['usage.total_tokens=7', 'completed_reported', 'usage_total_mismatch'],
  ['usage.completion_tokens_details=null', 'completed_reported', null],
  ['zero-usage', 'completed_reported', 'usage_zero_with_output'],
  ['duplicate-usage', 'completed_reported', null],
  ['usage-in-finish', 'completed_reported', null],
  ['usage-deepseek', 'completed_reported', null],
  ['no-final-blank', 'completed_reported', null],
  ['no-done', 'completed_reported', null],
]

test('A5-A7: whatever an upstream claims, the charge stays within the bound, the bound within the hold', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const account = await forge.account({ grants: { rmb: '100' } })
  for (const [sandbox, settlement, flag] of CLAIMS)
    for (const body of [STREAM, { stream: true }, {}])
      await t.test(`${sandbox} (${JSON.stringify(body)})`, async () => {
        const told = await ask(forge, account, { model: 'm', sandbox: `words=30, ${sandbox}`, body })
        assert.equal(told.status, 200)
        assert.equal(told.receipt.settlement, settlement)
        if (flag !== null) assert.ok(told.receipt.flags.includes(flag), told.receipt.flags.join())
        const usage = told.receipt.usage
        // 100 tokens of output are the request's limit; its bytes bound the input.
        assert.ok((usage?.output ?? 0) <= 100)
        assert.ok((usage?.input ?? 0) + (usage?.cache_read ?? 0) <= 400)
        assert.ok(chargeNano(told.receipt) <= priceNano(400, 100))
        assert.ok(chargeNano(told.receipt) <= (parseNano(told.receipt.hold?.amount ?? '') ?? 0n))
        assert.equal(
          usage?.source,
          { completed_reported: 'reported', completed_bounded: 'derived' }[settlement] ?? 'estimated',
        )
        assertMoney(told)
        const tf = usageOf(told.json)?.tf
        if (tf !== undefined)
          assert.equal(
            tf.charge,
            told.receipt.charge?.total ?? '0',
            'the stream tells the charge that is made',
          )
        else if (body !== STREAM && !('stream' in body)) {
          assert.equal(told.headers.get('x-tf-charge'), told.receipt.charge?.total ?? '0')
          assert.equal(told.headers.get('x-tf-currency'), 'CNY')
        }
      })
  await forge.settled()
  await forge.audit()
})

test('reported usage that comes one event before the end is told in the stream as it is charged', async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const events = [
      chunkOf('Hi'),
      FINISH_CHUNK,
      usageChunk(5, 5_000),
      'data: [DONE]\n\n',
      `: ${'padding '.repeat(400)}\n\n`,
    ]
    const next = (): void => {
      const event = events.shift()
      if (event === undefined) res.end()
      else res.write(event, () => setTimeout(next, 3))
    }
    next()
  })
  const forge = await startForge(t, {
    config: withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url }),
  })
  const account = await forge.account()
  const told = await ask(forge, account, { model: 'm', body: { ...STREAM, max_tokens: 6_000 } })
  assert.equal(told.receipt.settlement, 'completed_bounded')
  assert.equal(usageOf(told.json)?.tf?.charge, told.receipt.charge?.total)
  assert.ok((told.receipt.usage?.output ?? 0) < 1_000, 'no more tokens than the answer has bytes')
  assertMoney(told)
  await forge.settled()
  await forge.audit()
})

test('A10: leaving at any event costs what came by then, never less for more, never more than the whole', async (t) => {
  const words = Array.from({ length: 12 }, (_, i) => chunkOf(` word number ${i}`))
  const events = [chunkOf(''), ...words, FINISH_CHUNK, usageChunk(9, 60), 'data: [DONE]\n\n']
  const stub = await startStub(t, (_req, res, body) => {
    const k = Number.parseInt(/k=(\d+)/.exec(body)?.[1] ?? '0', 10)
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.flushHeaders()
    for (const event of events.slice(0, k)) res.write(event)
    if (k === events.length) res.end()
  })
  const forge = await startForge(t, {
    config: withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url }),
  })
  const account = await forge.account()
  const charges: bigint[] = []
  for (let k = 0; k <= events.length; k++) {
    const stop = new AbortController()
    const before = (await forge.balance(account.orgId, 'rmb')).posted
    const calls = stub.calls.length
    const request = forge.chat(account.key, bodyOf({ model: 'm', text: `k=${k}`, body: STREAM }), {
      signal: stop.signal,
    })
    let received = ''
    if (k >= 2) {
      const reader = (await request).body?.getReader()
      while (reader !== undefined && eventsOf(received).length < k) {
        const { done, value } = await reader.read()
        if (done) break
        received += Buffer.from(value).toString('utf8')
      }
    } else {
      // Nothing is passed on before the first output: the caller leaves while it waits.
      while (stub.calls.length === calls) await new Promise((resolve) => setTimeout(resolve, 5))
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    stop.abort()
    await request.catch(() => null)
    await forge.settled()
    const after = await forge.balance(account.orgId, 'rmb')
    assert.equal(after.held, 0n)
    charges.push(before - after.posted)
  }
  const full = priceNano(9, 60)
  assert.equal(charges.at(-1), full)
  for (const [k, charge] of charges.entries()) {
    assert.ok(charge <= full, `k=${k}: ${charge} > ${full}`)
    if (k > 0) assert.ok(charge >= (charges[k - 1] ?? 0n), `k=${k}: ${charges.join(' ')}`)
  }
  assert.ok((charges[0] ?? 0n) > 0n, 'the provider had accepted, so the input is charged')
  await forge.audit()
})

test('A12: a provider that ignores the limit is cut at what is held, or extended while the balance allows', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      full: { ordinary: ['ignore-max'] },
      window: { ordinary: ['ignore-max, delay=1'], holdWindow: 64 },
      honest: { ordinary: ['words=300, burst'], holdWindow: 64 },
      fast: { ordinary: ['words=2500'], holdWindow: 64 },
      burst: { ordinary: ['words=2500, burst'], holdWindow: 64 },
      slow: { ordinary: ['words=600, delay=1'], holdWindow: 64 },
    }),
  })

  await t.test('with a full hold: "length" at the cap, and a charge within the hold', async () => {
    const account = await forge.account()
    const told = await ask(forge, account, { model: 'full', body: STREAM })
    assert.equal(told.receipt.settlement, 'cut_at_limit')
    assert.equal(told.json.at(-2)?.choices?.[0]?.finish_reason, 'length')
    assert.ok(chargeNano(told.receipt) <= (parseNano(told.receipt.hold?.amount ?? '') ?? 0n))
    assert.ok(chargeNano(told.receipt) <= priceNano(200, 100))
    assertMoney(told)
  })

  await t.test("a small window grows while the stream runs, up to the caller's limit", async () => {
    const account = await forge.account()
    const told = await ask(forge, account, { model: 'slow', body: { ...STREAM, max_tokens: 2_000 } })
    assert.equal(told.receipt.settlement, 'completed_reported')
    assert.equal(
      told.json.findLast((reply) => reply.choices?.[0]?.finish_reason != null)?.choices?.[0]?.finish_reason,
      'stop',
    )
    assert.ok((told.receipt.usage?.output ?? 0) >= 500)
    assert.ok(
      (parseNano(told.receipt.hold?.amount ?? '') ?? 0n) >= priceNano(0, 512),
      'the hold was extended',
    )
    assert.equal(told.receipt.max_output_tokens, null, 'the window is no limit for the provider')
    assertMoney(told)
  })

  await t.test('an upstream that sends faster than the ledger commits is held back, not cut', async () => {
    const account = await forge.account()
    for (const model of ['fast', 'burst']) {
      const told = await ask(forge, account, { model, body: { ...STREAM, max_tokens: 8_000 } })
      assert.equal(told.receipt.settlement, 'completed_reported', model)
      assert.ok((told.receipt.usage?.output ?? 0) > 2_000)
      assert.equal(told.text.split('[DONE]').length, 2, 'one end')
      assertMoney(told)
    }
  })

  await t.test('a window that cannot be extended ends the stream with "length", not below zero', async () => {
    // Enough for the window and one extension, not for the caller's 2,000 tokens.
    const account = await forge.account({ grants: { rmb: '0.0018' } })
    const told = await ask(forge, account, { model: 'window', body: { ...STREAM, max_tokens: 2_000 } })
    assert.equal(told.status, 200)
    assert.equal(told.receipt.settlement, 'cut_at_limit')
    assert.equal(told.json.at(-2)?.choices?.[0]?.finish_reason, 'length')
    assert.ok(told.after >= 0n && told.after < told.before)
    assert.ok((told.receipt.usage?.output ?? 0) >= 64)
    assertMoney(told)
  })

  await t.test(
    'usage reported above the window is paid from what is available, the rest written off',
    async () => {
      const account = await forge.account({ grants: { rmb: '0.0015' } })
      const told = await ask(forge, account, { model: 'honest', body: { ...STREAM, max_tokens: 400 } })
      assert.equal(told.status, 200)
      assert.ok(told.receipt.flags.includes('written_off'), told.receipt.flags.join())
      assert.equal(told.after, 0n)
      assert.ok(
        told.receipt.charge?.lines.some(
          (line) => line.meter === 'written_off' && line.amount.startsWith('-'),
        ),
      )
      assertMoney(told)
    },
  )

  await forge.settled()
  await forge.audit()
})

test("hidden reasoning above the hold is taken from the balance; what it cannot pay is the operator's loss", async (t) => {
  let completion = 900
  const stub = await startStub(t, (_req, res, body) => {
    const usage = {
      prompt_tokens: 10,
      completion_tokens: completion,
      total_tokens: 10 + completion,
      completion_tokens_details: { reasoning_tokens: completion - 2 },
    }
    if (!body.includes('"stream":true')) {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(answerBody('Yes.', usage))
      return
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(
      `${chunkOf('Yes.')}${FINISH_CHUNK}data: ${JSON.stringify({ id: 'c', choices: [], usage })}\n\ndata: [DONE]\n\n`,
    )
  })
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'], holdWindow: 64, maxOutput: 1_000 } }), {
    stub: stub.url,
  })
  const forge = await startForge(t, { config })

  await t.test('enough is there: extended, and charged in full', async () => {
    const account = await forge.account()
    const told = await ask(forge, account, { model: 'm', body: { ...STREAM, max_tokens: undefined } })
    assert.equal(told.receipt.settlement, 'completed_reported')
    assert.equal(chargeNano(told.receipt), priceNano(10, 900))
    assert.equal(told.receipt.usage?.reasoning, 898)
    assert.equal(usageOf(told.json)?.tf?.charge, null, 'not told before it is certain')
    assertMoney(told)
  })

  await t.test(
    'nearly nothing is there: the balance ends at exactly zero, the rest is written off and shown',
    async () => {
      const account = await forge.account({ grants: { rmb: '0.002' } })
      const told = await ask(forge, account, { model: 'm', body: { ...STREAM, max_tokens: undefined } })
      assert.equal(told.after, 0n)
      assert.equal(told.receipt.charge?.total, '0.002')
      assert.ok(told.receipt.flags.includes('written_off'))
      const written = told.receipt.charge?.lines.find((line) => line.meter === 'written_off')
      assert.equal(parseNano(written?.amount ?? ''), 2_000_000n - priceNano(10, 900))
      assert.equal(told.receipt.hold?.amount, '0.002')
      assertMoney(told)
    },
  )

  await t.test("beyond the model's own limit it is impossible, and capped there", async () => {
    completion = 5_000
    const account = await forge.account()
    for (const body of [{ ...STREAM, max_tokens: undefined }, { max_tokens: undefined }]) {
      const told = await ask(forge, account, { model: 'm', body })
      assert.equal(told.receipt.settlement, 'completed_bounded')
      assert.equal(told.receipt.usage?.output, 1_000)
      assertMoney(told)
    }
  })

  await forge.settled()
  await forge.audit()
})
