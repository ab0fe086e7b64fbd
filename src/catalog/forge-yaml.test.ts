import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePico } from '../kernel/index.ts'
import { faultText } from './fault.ts'
import type { ForgeConfig } from './forge-config.ts'
import { parseForgeYaml } from './forge-yaml.ts'

function configOf(text: string, env: Record<string, string> = {}): ForgeConfig {
  const read = parseForgeYaml(text, env)
  assert.ok(read.ok, read.ok ? '' : read.faults.map(faultText).join('\n'))
  return read.config
}

const FULL = `
buckets:
  credit: {currency: USD, name: Credit}
  euro:   {currency: EUR}
channels:
  openai-direct: {protocol: openai, base_url: https://api.openai.com/v1/, api_key: "\${OPENAI_API_KEY}", public_name: OpenAI}
  relay-a:       {protocol: openai, base_url: http://127.0.0.1:9101/v1, api_key: k, timeouts: {connect_ms: 2000}}
  play:          {protocol: openai, base_url: http://127.0.0.1:9102/v1, sandbox: true}
models:
  gpt-5-mini:
    context: 400000
    max_output: 128000
    family: GPT
    capabilities: [text, tools]
    sources: {price: {from: a list, date: 2026-11-24}}
    policy: ordinary_then_official
    reference_price: {currency: USD, input: "0.25", cache_read: "0.025", output: "2.00"}
    routes:
      official:
        type: official
        bucket: credit
        price:
          - {effective_from: 2027-01-01T00:00:00+08:00, input: "0.50", output: "4.00"}
          - {input: "0.25", cache_read: "0.025", output: "2.00"}
        channels: [{channel: openai-direct}]
      ordinary:
        type: ordinary
        bucket: rmb
        hold_window: 4096
        price:
          currency: CNY
          input: 0.90
          output: "7.20"
          request: {per: 1000, price: "0.5"}
          web_search: {per: 1000, price: "10"}
          above: {272000: {input: "1.80"}, "128000": {input: "1.20", output: "9"}}
          service_tiers: {flex: {input: "0.45", output: "3.60"}}
          windows: [{utc: "22:30-08:30", days: [tue, mon], input: "0.45"}, {utc: "00:00-24:00", output: "7"}]
        channels:
          - {channel: play, upstream_model: openai/gpt-5-mini, priority: 1}
          - {channel: relay-a, upstream_model: gpt-5-mini, priority: 0, weight: 3}
`

test('a full file becomes exact values with every default filled in', () => {
  const config = configOf(FULL, { OPENAI_API_KEY: 'sk-real-key' })
  assert.deepEqual(config.buckets, [
    { id: 'credit', currency: 'USD', name: 'Credit' },
    { id: 'rmb', currency: 'CNY', name: 'RMB wallet' },
    { id: 'euro', currency: 'EUR', name: 'euro' },
  ])
  const defaults = { connectMs: 3000, firstTokenMs: 60_000, idleMs: 60_000, totalMs: 600_000 }
  assert.deepEqual(config.channels, [
    {
      name: 'openai-direct',
      publicName: 'OpenAI',
      protocol: 'openai',
      baseUrl: 'https://api.openai.com/v1',
      apiKey: 'sk-real-key',
      timeouts: defaults,
      sandbox: false,
      namesCaches: true,
    },
    {
      name: 'relay-a',
      publicName: 'relay-a',
      protocol: 'openai',
      baseUrl: 'http://127.0.0.1:9101/v1',
      apiKey: 'k',
      timeouts: { ...defaults, connectMs: 2000 },
      sandbox: false,
      namesCaches: false,
    },
    {
      name: 'play',
      publicName: 'play',
      protocol: 'openai',
      baseUrl: 'http://127.0.0.1:9102/v1',
      apiKey: '',
      timeouts: defaults,
      sandbox: true,
      namesCaches: false,
    },
  ])
  const [model] = config.models
  assert.ok(model !== undefined)
  assert.equal(model.policy, 'ordinary_then_official')
  assert.equal(model.referencePrices[0]?.sheet.currency, 'USD')
  const [official, ordinary] = model.routes
  assert.deepEqual(official?.channels, [
    { channel: 'openai-direct', upstreamModel: 'gpt-5-mini', priority: 0, weight: 1 },
  ])
  assert.deepEqual(
    official?.prices.map((price) => [price.effectiveFromMs, price.sheet.rates.input?.text]),
    [
      [0, '0.25'],
      [Date.parse('2026-12-31T16:00:00Z'), '0.50'],
    ],
  )
  const tokens = (text: string) => ({ text, pico: parsePico(text), per: 1_000_000n })
  const per1000 = (text: string) => ({ text, pico: parsePico(text), per: 1000n })
  assert.deepEqual(ordinary?.prices[0]?.sheet, {
    currency: 'CNY',
    rates: {
      input: tokens('0.90'),
      output: tokens('7.20'),
      request: per1000('0.5'),
      web_search: per1000('10'),
    },
    tiers: [
      { aboveInputTokens: 128_000, rates: { input: tokens('1.20'), output: tokens('9') } },
      { aboveInputTokens: 272_000, rates: { input: tokens('1.80') } },
    ],
    serviceTiers: { flex: { input: tokens('0.45'), output: tokens('3.60') } },
    windows: [
      { startMinute: 1350, endMinute: 510, days: [1, 2], rates: { input: tokens('0.45') } },
      { startMinute: 0, endMinute: 1440, days: [], rates: { output: tokens('7') } },
    ],
  })
  assert.equal(ordinary?.holdWindowTokens, 4096)
})

test('a file that configures nothing is no fault, and both built-in buckets are there', () => {
  for (const text of ['', '# nothing yet\n', '{}', 'models:\nchannels:\n', '---\n']) {
    const config = configOf(text)
    assert.deepEqual(
      config.buckets.map(({ id }) => id),
      ['credit', 'rmb'],
    )
    assert.deepEqual(config.models, [])
  }
})

test('anchors and a dollar sign written twice are understood', () => {
  const config = configOf(`
channels:
  a: &a {protocol: openai, base_url: http://h/v1, api_key: "$\${NOT}FILLED"}
  b: *a
`)
  assert.deepEqual(
    config.channels.map(({ apiKey }) => apiKey),
    [`$\{NOT}FILLED`, `$\{NOT}FILLED`],
  )
})

test('an unquoted price is taken from the text of the file, where a float would have lost it', () => {
  const text = FULL.replace('input: 0.90', 'input: 123456789.012345678901')
  const config = configOf(text, { OPENAI_API_KEY: 'x' })
  assert.equal(config.models[0]?.routes[1]?.prices[0]?.sheet.rates.input?.pico, 123456789012345678901n)
})

test('YAML and JSON of the same content are the same configuration', () => {
  const yaml = 'channels: {a: {protocol: openai, base_url: "http://h/v1"}}\n'
  const json = '{"channels": {"a": {"protocol": "openai", "base_url": "http://h/v1"}}}'
  assert.deepEqual(configOf(yaml), configOf(json))
})

test('a file cut anywhere is read or refused, never thrown at, and no fault shows the environment', () => {
  for (let cut = 0; cut < FULL.length; cut += 3) {
    const read = parseForgeYaml(FULL.slice(0, cut), { OPENAI_API_KEY: 'sk-env-secret' })
    if (!read.ok) assert.ok(!read.faults.map(faultText).join().includes('env-secret'))
  }
})

test('a name for the prompt cache is added at the hosts of OpenAI, and where the file says so', () => {
  const channels: readonly (readonly [settings: string, adds: boolean])[] = [
    ['base_url: https://api.openai.com/v1', true],
    ['base_url: https://eu.api.openai.com/v1', true],
    ['base_url: https://api.openai.com/v1, add_prompt_cache_key: false', false],
    ['base_url: https://api.openai.com.relay.example/v1', false],
    ['base_url: https://relay.example/api.openai.com/v1', false],
    ['base_url: https://relay.example/v1, add_prompt_cache_key: true', true],
  ]
  for (const [settings, adds] of channels) {
    const [channel] = configOf(`channels: {c: {protocol: openai, ${settings}}}`, {}).channels
    assert.equal(channel?.namesCaches, adds, settings)
  }
})
