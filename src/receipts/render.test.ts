import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SETTLEMENTS, type Settlement } from '../contract/index.ts'
import {
  BILLED_REASONS,
  CANDIDATE_REASONS,
  DECISION_REASONS,
  NO_CHARGE_REASONS,
  RECEIPT_FLAGS,
  type ReceiptDocument,
} from './document.ts'
import { explain } from './explain.ts'
import { type PostedEntry, renderReceipt } from './render.ts'

const ID = '018f0000-0000-7000-8000-000000000000'

const SERVED: ReceiptDocument = {
  v: 1,
  status: 'completed',
  at: 1_700_000_000_000,
  ended: 1_700_000_001_000,
  latency: 1_000,
  ttft: 240,
  org: { id: 'org_1', name: 'Acme' },
  project: { id: 'prj_1', name: 'Web' },
  key: { id: 'key_1', label: 'server', prefix: 'sk-tf-ab12' },
  endpoint: 'openai.chat_completions',
  streamed: true,
  requested: 'gpt-5-mini',
  model: 'gpt-5-mini',
  served: 'gpt-5-mini-2025-08-07',
  decision: {
    policy: 'ordinary_then_official',
    rule: 'bucket.by_route',
    route: 'ordinary',
    type: 'ordinary',
    bucket: 'rmb',
    bucketName: 'RMB wallet',
    currency: 'CNY',
    reason: 'policy',
    candidates: [
      {
        route: 'ordinary',
        channel: 'secret-relay-a',
        public: 'Relay A',
        role: 'primary',
        outcome: 'tried',
        reason: 'failed',
      },
      {
        route: 'ordinary',
        channel: 'secret-relay-b',
        public: 'Relay B',
        role: 'backup 1',
        outcome: 'tried',
        reason: 'served',
      },
      { route: 'official', outcome: 'not_allowed', reason: 'crossing_not_allowed' },
    ],
  },
  attempts: [
    {
      route: 'ordinary',
      channel: 'secret-relay-a',
      public: 'Relay A',
      role: 'primary',
      upstream: 'up',
      result: 'error',
      status: 429,
      code: 'rate_limited',
      at: 1_700_000_000_010,
      latency: 35,
      billed: false,
      why: 'nothing_delivered',
      next: 'backup',
    },
    {
      route: 'ordinary',
      channel: 'secret-relay-b',
      public: 'Relay B',
      role: 'backup 1',
      upstream: 'up',
      result: 'ok',
      status: 200,
      at: 1_700_000_000_050,
      latency: 900,
      billed: true,
      why: 'answer_delivered',
      next: 'answer',
    },
  ],
  usage: { counts: { input: 1_200, cache_read: 300, output: 85 }, reasoning: 20, source: 'reported' },
  charge: {
    bucket: 'rmb',
    currency: 'CNY',
    total: '0.001719',
    version: 'pv_1',
    lines: [
      ['input', 1_200, '0.90', 1_000_000, '0.00108'],
      ['cache_read', 300, '0.09', 1_000_000, '0.000027'],
      ['output', 85, '7.20', 1_000_000, '0.000612'],
    ],
    reference: { currency: 'USD', total: '0.00047' },
  },
  settlement: 'completed_reported',
  hold: { bucket: 'rmb', currency: 'CNY', amount: '0.01', state: 'captured' },
}

const ENTRIES: readonly PostedEntry[] = [
  {
    transferId: ID,
    line: 1,
    bucket: 'rmb',
    accountKind: 'customer',
    currency: 'CNY',
    amountNano: -1_719_000n,
    balanceAfterNano: 8_281_000n,
  },
  {
    transferId: ID,
    line: 2,
    bucket: 'rmb',
    accountKind: 'revenue',
    currency: 'CNY',
    amountNano: 1_719_000n,
    balanceAfterNano: null,
  },
]

function without<K extends keyof ReceiptDocument>(...names: readonly K[]): ReceiptDocument {
  return Object.fromEntries(
    Object.entries(SERVED).filter(([name]) => !names.some((gone) => gone === name)),
  ) as unknown as ReceiptDocument
}

const UNCHARGED = without('charge', 'usage', 'hold')
const ERROR = {
  code: 'upstream_error',
  message: 'No channel of the route could serve the request.',
  status: 502,
} as const

/** A document for each row of the matrix, and what both languages must say about it. */
const OF_SETTLEMENT: Readonly<Record<Settlement, readonly [doc: ReceiptDocument, en: RegExp, zh: RegExp]>> = {
  completed_reported: [SERVED, /usage the provider reported/, /服务商报告的用量计费/],
  completed_estimated: [
    {
      ...SERVED,
      settlement: 'completed_estimated',
      usage: { counts: { input: 5, output: 6 }, source: 'estimated' },
      flags: ['usage_missing'],
    },
    /counted here \(estimated\).*reported no usage/,
    /估算.*未报告用量/,
  ],
  completed_bounded: [
    { ...SERVED, settlement: 'completed_bounded', flags: ['usage_impossible'] },
    /impossible and was capped at what can be proven/,
    /按可证明的上限计/,
  ],
  empty_completion: [
    { ...UNCHARGED, settlement: 'empty_completion', noCharge: 'empty_completion' },
    /Nothing was charged: the answer was empty/,
    /未扣费：答复为空/,
  ],
  failed_before_output: [
    {
      ...UNCHARGED,
      status: 'failed',
      settlement: 'failed_before_output',
      noCharge: 'nothing_delivered',
      error: ERROR,
    },
    /Nothing was charged: no output reached you\..*Reason: No channel/,
    /未扣费：没有任何输出送达。.*原因/,
  ],
  failed_after_output: [
    { ...SERVED, status: 'failed', settlement: 'failed_after_output', error: ERROR },
    /charged for that part, the input once/,
    /只对已送达部分计费/,
  ],
  client_left_before_output: [
    {
      ...UNCHARGED,
      status: 'cancelled',
      settlement: 'client_left_before_output',
      noCharge: 'client_left_before_output',
    },
    /closed by the caller before a provider had accepted/,
    /接受请求之前关闭了连接/,
  ],
  client_left: [
    { ...SERVED, status: 'cancelled', settlement: 'client_left' },
    /charged for what had been generated by then/,
    /按当时已生成的内容计费/,
  ],
  cut_at_limit: [
    { ...SERVED, settlement: 'cut_at_limit', flags: ['cut_at_limit'] },
    /[Cc]ut at the limit/,
    /截断/,
  ],
  refused: [
    {
      ...without('charge', 'usage', 'hold', 'decision'),
      status: 'refused',
      settlement: 'refused',
      attempts: [],
      noCharge: 'refused',
      error: { code: 'model_not_found', message: 'There is no model "x" in the catalog.', status: 404 },
    },
    /refused before anything was sent.*Reason: There is no model "x" in the catalog\./,
    /发送给服务商之前已被拒绝.*原因/,
  ],
  recovered: [
    { ...SERVED, status: 'recovered', settlement: 'recovered', attempts: [] },
    /the gateway stopped while the request ran/,
    /网关停止/,
  ],
  replayed: [
    {
      ...without('charge', 'usage', 'hold', 'decision'),
      status: 'replayed',
      settlement: 'replayed',
      attempts: [],
      noCharge: 'replayed',
      replayOf: 'req_1',
    },
    /retry of a request whose answer was kept, and that request paid for it\. It repeats req_1\./,
    /原请求承担。原请求：req_1。/,
  ],
}

test('every settlement is explained in both languages by its key facts, in whole sentences', () => {
  for (const settlement of SETTLEMENTS) {
    const [doc, en, zh] = OF_SETTLEMENT[settlement]
    const text = explain(doc)
    assert.match(text.en, en, settlement)
    assert.match(text.zh, zh, settlement)
    if (doc.charge !== undefined) {
      for (const language of [text.en, text.zh]) {
        assert.ok(
          language.includes(doc.charge.total) && language.includes('CNY') && language.includes('RMB wallet'),
          settlement,
        )
        assert.ok(language.includes('gpt-5-mini') && language.includes('ordinary'))
      }
    }
    assertWellWritten(text)
  }
})

test('an answer that never came did not come from the sandbox', () => {
  const failed = explain({ ...OF_SETTLEMENT.failed_before_output[0], sandbox: true })
  assert.doesNotMatch(failed.en, /answer came from/)
  assert.match(failed.en, /The route leads to the built-in sandbox/)
  assert.doesNotMatch(failed.zh, /答复来自/)
  assertWellWritten(failed)
  const served = explain({ ...SERVED, sandbox: true })
  assert.match(served.en, /The answer came from the built-in sandbox/)
  assertWellWritten(served)
})

function assertWellWritten(text: { readonly en: string; readonly zh: string }): void {
  assert.match(text.en, /^[A-Z]/)
  assert.match(text.en, /[.!?]$/)
  assert.match(text.zh, /[。.]$/)
  for (const sentence of text.en.split(/(?<=[a-z)0-9"]\.) /)) assert.match(sentence, /^[A-Z]/, sentence)
  for (const language of [text.en, text.zh])
    assert.doesNotMatch(language, /undefined|null|NaN|\s{2}|: \.|\.\.|。。|：。| ,|\(\)|（）/, language)
}

test('all codes of the closed lists have their words in both languages', () => {
  for (const reason of NO_CHARGE_REASONS)
    assertWellWritten(explain({ ...UNCHARGED, noCharge: reason, settlement: 'empty_completion' }))
  for (const reason of DECISION_REASONS) {
    const decision = SERVED.decision
    if (decision !== undefined) assertWellWritten(explain({ ...SERVED, decision: { ...decision, reason } }))
  }
  for (const reason of CANDIDATE_REASONS) {
    const doc: ReceiptDocument = {
      ...SERVED,
      decision: {
        policy: 'cheapest',
        rule: 'bucket.by_route',
        reason: 'none',
        candidates: [{ route: 'r', outcome: 'tried', reason }],
      },
    }
    assert.ok((renderReceipt(ID, doc, [], 'customer').decision?.candidates[0]?.reason ?? '').length > 3)
  }
  for (const why of BILLED_REASONS) {
    const attempts = SERVED.attempts.map((attempt) => ({ ...attempt, why }))
    assert.ok(
      (renderReceipt(ID, { ...SERVED, attempts }, [], 'customer').attempts[0]?.billed_reason ?? '').length >
        3,
    )
  }
  for (const flag of RECEIPT_FLAGS) assertWellWritten(explain({ ...SERVED, flags: [flag] }))
})

test('a request that runs is not explained as if it had ended', () => {
  const pending: ReceiptDocument = {
    ...without('charge', 'usage'),
    status: 'pending',
    settlement: 'recovered',
    attempts: [],
    hold: { bucket: 'rmb', currency: 'CNY', amount: '0.01', state: 'open' },
  }
  const receipt = renderReceipt(ID, pending, [], 'customer')
  assert.match(receipt.explanation.en, /is running: CNY 0\.01 of RMB wallet is set aside/)
  assert.doesNotMatch(receipt.explanation.en, /stopped|Nothing was charged|Ending/)
  assert.match(receipt.explanation.zh, /正在进行.*CNY 0\.01/)
  assertWellWritten(receipt.explanation)
  assert.deepEqual(
    [receipt.status, receipt.finished_at, receipt.latency_ms, receipt.settlement, receipt.charge],
    ['pending', null, null, null, null],
  )
})

test('rendering is a function of the stored document and its entries alone', () => {
  for (const settlement of SETTLEMENTS) {
    const [doc] = OF_SETTLEMENT[settlement]
    const stored = JSON.parse(JSON.stringify(doc)) as ReceiptDocument
    for (const view of ['customer', 'operator'] as const) {
      const once = JSON.stringify(renderReceipt(ID, doc, ENTRIES, view))
      assert.equal(JSON.stringify(renderReceipt(ID, stored, ENTRIES, view)), once)
      assert.equal(JSON.stringify(renderReceipt(ID, doc, ENTRIES, view)), once)
    }
    assert.deepEqual(doc, stored, 'nothing was written into it')
  }
})

test('customers see public names, operators the channels', () => {
  const customer = JSON.stringify(renderReceipt(ID, SERVED, ENTRIES, 'customer'))
  assert.ok(!customer.includes('secret-relay') && customer.includes('Relay A'))
  const operator = renderReceipt(ID, SERVED, ENTRIES, 'operator')
  assert.deepEqual(
    operator.attempts.map((attempt) => attempt.channel),
    ['secret-relay-a', 'secret-relay-b'],
  )
  assert.equal(operator.decision?.candidates[1]?.channel, 'secret-relay-b')
})

test('balance before and after come from the entry that moved it, and differ by the charge', () => {
  const { balance, ledger, charge } = renderReceipt(ID, SERVED, ENTRIES, 'customer')
  assert.deepEqual(balance, { bucket: 'rmb', currency: 'CNY', before: '0.01', after: '0.008281' })
  assert.deepEqual(
    ledger.map((entry) => [entry.account, entry.amount]),
    [
      ['rmb', `-${charge?.total}`],
      ['rmb:revenue', charge?.total],
    ],
  )
  assert.equal(renderReceipt(ID, UNCHARGED, [], 'customer').balance, null)
})

test('unknown usage is never shown as zero', () => {
  const usage = renderReceipt(
    ID,
    { ...SERVED, usage: { counts: {}, source: 'unknown' } },
    [],
    'customer',
  ).usage
  assert.deepEqual(
    [usage?.input, usage?.cache_read, usage?.output, usage?.reasoning],
    [null, null, null, null],
  )
})
