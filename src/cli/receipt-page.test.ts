import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Receipt, receiptSchema } from '../contract/index.ts'
import { receiptPage } from './receipt-page.ts'
import { printable, table, widthOf } from './text.ts'

const USAGE = {
  input: 1200,
  cache_read: 0,
  cache_write_5m: 0,
  cache_write_1h: 0,
  output: 85,
  reasoning: null,
} as const

const RECEIPT: Receipt = receiptSchema.parse({
  id: 'req_1',
  object: 'receipt',
  version: 1,
  status: 'completed',
  sandbox: false,
  created_at: '2026-01-01T00:00:00.000Z',
  finished_at: '2026-01-01T00:00:01.000Z',
  latency_ms: 812,
  time_to_first_token_ms: 240,
  explanation: {
    en: 'The ordinary route was used, so the RMB wallet paid.',
    zh: '使用普通线路，由人民币钱包支付。',
  },
  organization: { id: 'org_1', name: 'Acme' },
  project: { id: 'prj_1', name: 'Reports' },
  api_key: { id: 'key_1', label: 'laptop', prefix: 'sk-tf-ab12' },
  run: { id: 'run_1', name: 'nightly', step: 'draft' },
  endpoint: 'openai.chat_completions',
  streamed: true,
  idempotency_key: null,
  replay_of: null,
  requested_model: 'm-one',
  catalog_model: 'm-one',
  served_model: 'm-one-2026',
  decision: {
    policy: 'ordinary_then_official',
    rule: 'bucket.by_route',
    route: 'ordinary',
    route_type: 'ordinary',
    bucket: 'rmb',
    reason: 'the policy of the API key chose it',
    candidates: [],
  },
  attempts: [
    {
      n: 1,
      route: 'ordinary',
      channel: 'Relay',
      role: 'primary',
      upstream_model: 'm-up',
      served_model: null,
      result: 'error',
      status: 429,
      code: 'rate_limited',
      started_at: '2026-01-01T00:00:00.000Z',
      latency_ms: 35,
      time_to_first_token_ms: null,
      usage: null,
      billed: false,
      billed_reason: 'nothing was delivered',
      next: 'backup',
    },
  ],
  retries: 0,
  fallback: true,
  crossed_balance: false,
  max_output_tokens: null,
  max_output_tokens_lowered: false,
  dropped: [],
  usage: { ...USAGE, source: 'reported' },
  charge: {
    bucket: 'rmb',
    currency: 'CNY',
    total: '0.001692',
    settlement: 'completed_reported',
    price_version: 'pv_1',
    lines: [{ meter: 'input', quantity: 1200, unit_price: '0.90', per: 1000000, amount: '0.00108' }],
    reference: { currency: 'USD', total: '0.00047' },
  },
  no_charge_reason: null,
  settlement: 'completed_reported',
  hold: { bucket: 'rmb', currency: 'CNY', amount: '0.1', state: 'captured' },
  balance: { bucket: 'rmb', currency: 'CNY', before: '50', after: '49.998308' },
  ledger: [{ entry: 'e/1', account: 'rmb', amount: '-0.001692', currency: 'CNY' }],
  flags: [],
  limit: null,
  error: null,
  next_step: null,
})

const FIGURES = [
  '0.001692 CNY',
  '0.00108',
  '0.00047 USD',
  '49.998308',
  '-0.001692 CNY',
  '429',
  'm-one-2026',
  'nightly / draft',
  'pv_1',
]

test('the page explains first, then shows every figure as it stands on the receipt, in either language', () => {
  for (const language of ['en', 'zh'] as const) {
    const page = receiptPage(RECEIPT, language)
    assert.equal(page.split('\n')[2], RECEIPT.explanation[language])
    for (const figure of FIGURES) assert.ok(page.includes(figure), `${language}: ${figure}\n${page}`)
  }
  assert.match(receiptPage(RECEIPT, 'zh'), /余额/)
})

test('where nothing was charged the page says why, and what to do', () => {
  const refused: Receipt = {
    ...RECEIPT,
    status: 'refused',
    charge: null,
    usage: null,
    hold: null,
    balance: null,
    ledger: [],
    attempts: [],
    decision: null,
    run: null,
    no_charge_reason: 'refused before any upstream call',
    error: { code: 'insufficient_balance', message: 'The balance is spent.', status: 402 },
    next_step: 'Add money.',
  }
  const page = receiptPage(refused, 'en')
  assert.match(page, /No charge: refused before any upstream call/)
  assert.match(page, /402 insufficient_balance: The balance is spent\./)
  assert.match(page, /What to do\s+Add money\./)
})

test('usage that is not known is never shown as 0', () => {
  const usage = {
    ...USAGE,
    input: null,
    output: null,
    cache_read: null,
    cache_write_5m: null,
    cache_write_1h: null,
    source: 'unknown',
  } as const
  const page = receiptPage({ ...RECEIPT, usage }, 'en')
  assert.match(page, /input \?.*output \?.*\(unknown\)/)
})

test('tables stay straight with wide characters, and control characters are not printed', () => {
  const lines = table(
    ['a', 'b'],
    [
      ['线路', 'x'],
      ['ab', 'y'],
    ],
  ).split('\n')
  assert.deepEqual(new Set(lines.map((line) => widthOf(line.slice(0, line.search(/.$/))))), new Set([6]))
  assert.equal(printable('a\u001b[2J\r\nb'), 'a\ufffd[2J\ufffd\nb')
})
