import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultText } from './fault.ts'
import { parseForgeYaml } from './forge-yaml.ts'

/** A small file in which one thing at a time is made wrong. */

type Loose = Record<string, unknown>

const ROUTE = {
  type: 'ordinary',
  bucket: 'rmb',
  price: { input: '0.90', output: '7.20' } as unknown,
  channels: [{ channel: 'relay-a', upstream_model: 'm' }] as unknown,
}
const MODEL = { context: 1000, max_output: 100, routes: { ordinary: ROUTE } as unknown }
const CHANNEL = { protocol: 'openai', base_url: 'http://127.0.0.1:9101/v1', api_key: 'sk-very-secret' }
const FILE = { buckets: {}, channels: { 'relay-a': CHANNEL } as unknown, models: { m: MODEL } as unknown }

const inFile = (changes: Loose): Loose => ({ ...FILE, ...changes })
const inModel = (changes: Loose): Loose => inFile({ models: { m: { ...MODEL, ...changes } } })
const inRoute = (changes: Loose): Loose => inModel({ routes: { ordinary: { ...ROUTE, ...changes } } })
const inPrice = (changes: Loose): Loose => inRoute({ price: { ...(ROUTE.price as Loose), ...changes } })
const inChannel = (changes: Loose): Loose => inFile({ channels: { 'relay-a': { ...CHANNEL, ...changes } } })
const dated = (...times: string[]): Loose =>
  inRoute({ price: times.map((effective_from) => ({ effective_from, input: '1', output: '1' })) })
const variable = (name: string): string => `$\{${name}}`

const R = 'models.m.routes.ordinary'
const P = `${R}.price`
const NOT_EXACT = 'this number cannot be read exactly; put it in quotes as a plain decimal, such as "0.25"'
const NOT_DECIMAL = 'is not a plain decimal, such as "0.25"'
const NOT_TIME = 'must be a time with its offset, such as 2027-01-01T00:00:00Z'
const NOT_RANGE = 'must be two different times of the UTC day, such as "00:30-08:30"'
const NOT_PER = 'must say how many calls the price is for: {per: 1000, price: "10"}'
const NOT_TOKENS = 'must be a whole number, at least 1 and at most 1000000000000'
const MODEL_FORM = 'a model’s name is a-z, 0-9, ., _, :, / and -, at most 128'
const ROUTE_FORM = 'a route’s name is a-z, 0-9, _ and -, at most 64'
const POLICIES = 'ordinary_then_official, official_then_ordinary, official_only, ordinary_only, cheapest'

/** What is wrong, the file, and exactly the faults it brings. */
type Case = readonly [name: string, file: Loose, ...faults: string[]]

const UNKNOWN: readonly Case[] = [
  [
    'a channel that is not there',
    inRoute({ channels: [{ channel: 'relay-a' }, { channel: 'relay-b' }] }),
    `${R}.channels[1].channel: there is no channel "relay-b" (did you mean "relay-a"?)`,
  ],
  [
    'a bucket that is not there',
    inRoute({ bucket: 'rbm' }),
    `${R}.bucket: there is no bucket "rbm" (did you mean "rmb"?)`,
  ],
  [
    'a setting at the top',
    inFile({ model: {} }),
    'model: there is no setting "model" here (did you mean "models"?)',
  ],
  [
    'a setting of a channel',
    inChannel({ base_ulr: 'x' }),
    'channels.relay-a.base_ulr: there is no setting "base_ulr" here (did you mean "base_url"?)',
  ],
  ['a setting like nothing else', inRoute({ zzz: null }), `${R}.zzz: there is no setting "zzz" here`],
  [
    'a meter',
    inPrice({ cached_read: '1' }),
    `${P}.cached_read: there is no setting "cached_read" here (did you mean "cache_read"?)`,
  ],
  [
    'a route type',
    inRoute({ type: 'offical' }),
    `${R}.type: must be one of official, ordinary (did you mean "official"?)`,
  ],
  ['a policy', inModel({ policy: 'x' }), `models.m.policy: must be one of ${POLICIES}`],
  [
    'a protocol',
    inChannel({ protocol: 'opnai' }),
    'channels.relay-a.protocol: must be one of openai, openai-responses, anthropic, gemini (did you mean "openai"?)',
  ],
]

const PRICES: readonly Case[] = [
  ['a scientific number', inPrice({ input: 1e-7 }), `${P}.input: ${NOT_EXACT}`],
  ['a negative price', inPrice({ input: '-1' }), `${P}.input: a price cannot be negative`],
  ['a negative number', inPrice({ input: -1 }), `${P}.input: a price cannot be negative`],
  ['not a number', inPrice({ input: 'NaN' }), `${P}.input: ${NOT_DECIMAL}`],
  ['a currency sign', inPrice({ input: '$1' }), `${P}.input: ${NOT_DECIMAL}`],
  ['13 decimals', inPrice({ input: '0.0000000000001' }), `${P}.input: a price has at most 12 decimals`],
  [
    'more than a billion',
    inPrice({ output: '1000000000.000000000001' }),
    `${P}.output: a price above 1,000,000,000 cannot be right`,
  ],
  ['thirty digits', inPrice({ output: '9'.repeat(30) }), `${P}.output: ${NOT_DECIMAL}`],
  [
    'a truth value',
    inPrice({ output: true }),
    `${P}.output: must be a price: a decimal in quotes, such as "0.25"`,
  ],
  ['no price at all', inRoute({ price: undefined }), `${P}: is missing`],
  ['neither input nor output', inRoute({ price: {} }), `${P}.input: is missing`, `${P}.output: is missing`],
  ['a price that is null', inPrice({ input: null }), `${P}.input: is missing`],
  ['one number for everything', inRoute({ price: 0.9 }), `${P}: must be a map of settings`],
  ['an empty list', inRoute({ price: [] }), `${P}: must have at least one entry`],
  [
    'another currency than the bucket’s',
    inPrice({ currency: 'USD' }),
    `${P}.currency: is USD, but the bucket "rmb" holds CNY`,
  ],
  [
    'two prices without date',
    inRoute({ price: [ROUTE.price, ROUTE.price] }),
    `${P}[1]: only one price may be without effective_from`,
  ],
  [
    'two prices from one time',
    dated('2027-01-01T00:00:00Z', '2027-01-01T08:00:00+08:00'),
    `${P}[1]: begins at the same time as another price`,
  ],
  ['a date that does not exist', dated('2027-02-30T00:00:00Z'), `${P}[0].effective_from: ${NOT_TIME}`],
  ['a date without time', dated('2027-02-01'), `${P}[0].effective_from: ${NOT_TIME}`],
  [
    'calls without their number',
    inPrice({ request: '0.01', web_search: 10 }),
    `${P}.request: ${NOT_PER}`,
    `${P}.web_search: ${NOT_PER}`,
  ],
  ['calls without per', inPrice({ request: { price: '1' } }), `${P}.request.per: is missing`],
  [
    'calls per nothing',
    inPrice({ request: { per: 0, price: '1' } }),
    `${P}.request.per: must be a whole number, at least 1 and at most 1000000`,
  ],
  [
    'a misspelt price of calls',
    inPrice({ request: { per: 1, prize: '1' } }),
    `${P}.request.price: is missing`,
    `${P}.request.prize: there is no setting "prize" here (did you mean "price"?)`,
  ],
  [
    'a tier that is no number',
    inPrice({ above: { '200k': { input: '1' } } }),
    `${P}.above.200k: must be a number of input tokens, such as "200000"`,
  ],
  ['a tier without a price', inPrice({ above: { '200000': {} } }), `${P}.above.200000: names no price`],
  [
    'faults inside a tier',
    inPrice({ above: { '200000': { input: 'x', outptu: '1' } } }),
    `${P}.above.200000.input: ${NOT_DECIMAL}`,
    `${P}.above.200000.outptu: there is no setting "outptu" here (did you mean "output"?)`,
  ],
  [
    'a service tier that is the base',
    inPrice({ service_tiers: { default: { input: '1' } } }),
    `${P}.service_tiers.default: the prices outside service_tiers are the ones of this tier`,
  ],
  [
    'windows that are no times',
    inPrice({ windows: ['8-9', '25:00-26:00', '08:00-08:00'].map((utc) => ({ utc, input: '1' })) }),
    ...[0, 1, 2].map((i) => `${P}.windows[${i}].utc: ${NOT_RANGE}`),
  ],
  [
    'a window on no day',
    inPrice({ windows: [{ utc: '08:00-09:00', days: ['Mon'], input: '1' }] }),
    `${P}.windows[0].days[0]: must be one of sun, mon, tue, wed, thu, fri, sat (did you mean "mon"?)`,
  ],
  [
    'a list price without currency',
    inModel({ reference_price: ROUTE.price }),
    'models.m.reference_price.currency: is missing',
  ],
]

const NAMES_AND_LIMITS: readonly Case[] = [
  [
    'a currency in small letters',
    inFile({ buckets: { yen: { currency: 'jpy' } } }),
    'buckets.yen.currency: must be a currency of three letters, such as USD',
  ],
  [
    'Credit in euro',
    inFile({ buckets: { credit: { currency: 'EUR' } } }),
    'buckets.credit.currency: the built-in bucket "credit" holds USD; give another bucket its own name',
  ],
  ['a model without routes', inModel({ routes: {} }), 'models.m.routes: must have at least one route'],
  ['a model whose routes are missing', inModel({ routes: undefined }), 'models.m.routes: is missing'],
  ['a route without channels', inRoute({ channels: [] }), `${R}.channels: must have at least one entry`],
  [
    'a channel twice in a route',
    inRoute({ channels: [{ channel: 'relay-a' }, { channel: 'relay-a' }] }),
    `${R}.channels[1]: names the channel "relay-a" and the same upstream model a second time`,
  ],
  [
    'limits that are no counts',
    inModel({ context: 0, max_output: 1.5 }),
    `models.m.context: ${NOT_TOKENS}`,
    `models.m.max_output: ${NOT_TOKENS}`,
    'models.m.max_output: is larger than the context of 0 tokens',
  ],
  [
    'limits that are missing',
    inModel({ context: null, max_output: undefined }),
    'models.m.context: is missing',
    'models.m.max_output: is missing',
  ],
  [
    'more output than context',
    inModel({ max_output: 1001 }),
    'models.m.max_output: is larger than the context of 1000 tokens',
  ],
  ['a model in capitals', inFile({ models: { 'GPT-5': MODEL } }), `models.GPT-5: ${MODEL_FORM}`],
  [
    'a model with a long name',
    inFile({ models: { ['x'.repeat(129)]: MODEL } }),
    `models["${'x'.repeat(80)}…"]: ${MODEL_FORM}`,
  ],
  [
    'a model that asks for a route',
    inFile({ models: { 'x:ordinary': MODEL } }),
    'models["x:ordinary"]: a name cannot end in ":ordinary", which asks for the route "ordinary"',
  ],
  [
    'models equal but for width',
    inFile({ models: { m: MODEL, ｍ: MODEL } }),
    `models["ｍ"]: ${MODEL_FORM}`,
    'models["ｍ"]: cannot be told apart from "m"',
  ],
  [
    'routes with Cyrillic letters',
    inModel({ routes: { ordinary: ROUTE, оrdinаry: ROUTE } }),
    `models.m.routes["оrdinаry"]: ${ROUTE_FORM}`,
    'models.m.routes["оrdinаry"]: cannot be told apart from "ordinary"',
  ],
  [
    'routes equal but for case',
    inModel({ routes: { ordinary: ROUTE, Ordinary: ROUTE } }),
    `models.m.routes.Ordinary: ${ROUTE_FORM}`,
    'models.m.routes.Ordinary: cannot be told apart from "ordinary"',
  ],
  [
    'routes that differ by a zero',
    inModel({ routes: { pool: ROUTE, p0ol: ROUTE } }),
    'models.m.routes.p0ol: cannot be told apart from "pool"',
  ],
  [
    'the name of the sandbox',
    inFile({ channels: { 'relay-a': CHANNEL, sandbox: CHANNEL } }),
    'channels.sandbox: this name is kept for the built-in sandbox; choose another',
  ],
  [
    'maps that are something else',
    inFile({ channels: [], models: 'none' }),
    'channels: must be a map of names to settings',
    'models: must be a map of names to settings',
  ],
]

const CHANNELS_AND_SECRETS: readonly Case[] = [
  [
    'an address that is none',
    inChannel({ base_url: 'localhost' }),
    'channels.relay-a.base_url: must be an address such as https://api.example.com/v1',
  ],
  [
    'an address of a file',
    inChannel({ base_url: 'file:///x' }),
    'channels.relay-a.base_url: must begin with https:// or http://',
  ],
  [
    'an address with a password',
    inChannel({ base_url: 'https://u:sk-very-secret@h/v1' }),
    'channels.relay-a.base_url: must not carry a user or password; use api_key',
  ],
  [
    'an address with a query',
    inChannel({ base_url: 'https://h/v1?key=sk-very-secret' }),
    'channels.relay-a.base_url: must not carry a query, a fragment or spaces',
  ],
  [
    'a key with a line break',
    inChannel({ api_key: 'sk-very-secret\n' }),
    'channels.relay-a.api_key: must be one word without spaces or line breaks',
  ],
  [
    'a key that is a number',
    inChannel({ api_key: 12345 }),
    'channels.relay-a.api_key: must be text; put it in quotes',
  ],
  [
    'a time-out of nothing',
    inChannel({ timeouts: { connect_ms: 0, zzz: 3 } }),
    'channels.relay-a.timeouts.connect_ms: must be a whole number, at least 1 and at most 86400000',
    'channels.relay-a.timeouts.zzz: there is no setting "zzz" here',
  ],
  [
    'a key where a name belongs',
    inRoute({ channels: [{ channel: 'sk-very-secret' }] }),
    `${R}.channels[0].channel: there is no channel "[hidden]"`,
  ],
  [
    'a variable that is not set',
    inChannel({ api_key: variable('OPENAI_API_KEY') }),
    'channels.relay-a.api_key: the environment variable OPENAI_API_KEY is not set',
  ],
  [
    'a variable that is empty',
    inChannel({ api_key: variable('EMPTY') }),
    'channels.relay-a.api_key: the environment variable EMPTY is not set',
  ],
  [
    'a variable with a default',
    inChannel({ api_key: variable('A:-b') }),
    `channels.relay-a.api_key: only ${variable('NAME')} can stand for an environment variable`,
  ],
  [
    'a variable where a name belongs',
    inRoute({ bucket: variable('TOKEN') }),
    `${R}.bucket: there is no bucket "${variable('TOKEN')}"`,
  ],
  [
    'faults of every kind at once',
    inFile({
      channels: { 'relay-a': { ...CHANNEL, sandbox: 'yes' } },
      models: {
        m: { ...MODEL, context: null, routes: { r: { ...ROUTE, bucket: 'x', price: { input: 'x' } } } },
      },
    }),
    'channels.relay-a.sandbox: must be true or false',
    'models.m.context: is missing',
    'models.m.routes.r.bucket: there is no bucket "x"',
    `models.m.routes.r.price.input: ${NOT_DECIMAL}`,
    'models.m.routes.r.price.output: is missing',
  ],
]

const CASES = [...UNKNOWN, ...PRICES, ...NAMES_AND_LIMITS, ...CHANNELS_AND_SECRETS]

const byText = (a: string, b: string): number => (a < b ? -1 : 1)

function faultsOf(file: Loose): string[] {
  const read = parseForgeYaml(JSON.stringify(file), { TOKEN: 'tok', EMPTY: '' })
  return read.ok ? [] : read.faults.map(faultText)
}

test('the file that the cases change has no fault itself', () => {
  assert.deepEqual(faultsOf(FILE), [])
})

for (const [name, file, ...faults] of CASES) {
  test(`refused, with every fault named: ${name}`, () => {
    assert.deepEqual(faultsOf(file).toSorted(byText), faults.toSorted(byText))
  })
}

test('no fault of any case carries the secret that the file holds', () => {
  const all = CASES.flatMap(([, file]) => faultsOf(file))
  assert.ok(all.length > CASES.length)
  assert.ok(!all.join('\n').includes('very-secret'))
})
