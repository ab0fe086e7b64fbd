import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { shapeFault } from '../../src/api/request-shape.ts'
import { nearestName } from '../../src/catalog/index.ts'
import { readCredential } from '../../src/gateway/admit.ts'
import { headersGoingOn } from '../../src/gateway/headers.ts'
import { retryCount } from '../../src/gateway/retries.ts'
import { sessionOf } from '../../src/gateway/sessions.ts'
import { matchStored } from '../../src/gateway/stored.ts'
import { geminiPath, matchCall } from '../../src/gateway/wire.ts'
import { parseId, parseJson, parseNano } from '../../src/kernel/index.ts'
import { familyOf, PROTOCOLS } from '../../src/protocols/index.ts'
import { takeMarkers } from '../../src/sandbox/switches.ts'
import { wordsAsked } from '../../src/sandbox/wording.ts'
import { withoutWrapping } from '../../src/sandbox/wrapping.ts'
import { looksLikeApiKey } from '../../src/tenancy/api-key.ts'
import { cleanName } from '../../src/tenancy/names.ts'
import { networksOf, plainAddress, senderAddress, wrongNetwork } from '../../src/tenancy/networks.ts'
import { literalsOf, productSources } from './regexes.ts'

/**
 * A30: no text that anybody may send makes an expression take long. There are no expressions of users'; those of ours are
 * judged by `recheck`, and what is read of a request is timed on texts made to hurt.
 */

/** Before it is loaded: the backend in plain JavaScript, which is there on every machine. */
process.env['RECHECK_BACKEND'] ??= 'pure'

const CONFIGURATION = 'reads what an operator wrote, at most 1,024 characters'
/** Not linear, or too wide for the checker to tell, with why nobody can use it. */
const TOLERATED: ReadonlyMap<string, string> = new Map([
  ['\\/+$', CONFIGURATION],
  ['0+$', 'reads decimals that this program wrote, at most 18 digits'],
  ['\\B(?=(\\d{3})+$)', 'reads whole numbers that this program wrote'],
  [
    'pre-existing shared memory block|lock file ".*" already exists|Is another postmaster',
    'reads the log of our own PostgreSQL',
  ],
  ['deepseek-(?:v3\\.2|v[4-9]|reasoner|flash|pro)|kimi-(?:k[2-9].*thinking|k[3-9])', CONFIGURATION],
  ['\\b(?:sk|pk|key|tok|rk|gsk|xai|AIza)[-_][\\w-]{6,}', 'timed below: the checker gives up on its width'],
  ['\\bAIza[\\w-]{10,}', 'timed below: the checker gives up on its width'],
  [
    '\\b(?:write|say|give|output|generate)\\s+(?:\\w+\\s+){0,8}?(\\d{1,6})(?:\\s+|-)words?\\b',
    'timed below: the checker gives up on its width',
  ],
  [
    '(?:写|输出|生成|说)[^\\d]{0,8}(\\d{1,6})\\s*个?(?:汉字|字|词)',
    'timed below: the checker gives up on its width',
  ],
])

/**
 * Those that recheck has found linear before: its verdict is about the text of an expression, and takes minutes of a busy
 * machine for all of them. What is not here is judged now.
 */
const JUDGED: ReadonlySet<string> = new Set(
  JSON.parse(readFileSync(join(import.meta.dirname, 'judged-regexes.json'), 'utf8')),
)

const sources = productSources()
const literals = sources.flatMap(([path, text]) => literalsOf(path, text))

/** What opens a hole in a template. */
const HOLE = ['$', '{'].join('')

test('A30: the scanner sees every literal expression', () => {
  const sample = [
    'const a = b / c / d // no /x/ here',
    "const s = 'a/b/c' + `x/@{/in-hole/.test(y) ? `/@{z}/` : 1}/y`",
    'return /after[/]word/gi.test(x)',
    'f(/\\/escaped/, a / 2)',
    '/* /no/ */ const z = [/list/u]',
  ]
    .join('\n')
    .replaceAll('@{', HOLE)
  assert.deepEqual(
    literalsOf('sample', sample).map(({ source, flags }) => [source, flags]),
    [
      ['in-hole', ''],
      ['after[/]word', 'gi'],
      ['\\/escaped', ''],
      ['list', 'u'],
    ],
  )
  assert.ok(literals.length > 200, `${literals.length}`)
  for (const { at, source, flags } of literals) assert.doesNotThrow(() => new RegExp(source, flags), at)
})

test('A30: expressions that are composed while running are these, of fixed words', () => {
  const composed = sources.flatMap(([path, text]) =>
    [...text.matchAll(/new RegExp\(([^)]*)/g)].map((match) => `${path}: ${match[1]?.trim()}`),
  )
  const told = composed.map((text) => text.replaceAll(HOLE, '@{'))
  assert.deepEqual(told, [
    // Of the dimensions of usage, when the module is loaded.
    'src/contract/usage.ts: `^@{dimension}(?:,@{dimension}',
    'src/platforms/vertex/shapes.ts: `^(?:publishers/@{publisher}/',
    // Called with two names of members.
    'src/protocols/gemini-generate/errors.ts: `"@{name}": ?"([^"\\\\\\\\]{1,200}',
  ])
})

test('A30: recheck finds every literal expression linear, but for those that nobody reaches', async (t) => {
  const { check } = await import('recheck')
  const begun = performance.now()
  const distinct = new Map(literals.map((literal) => [`/${literal.source}/${literal.flags}`, literal]))
  const wrong: string[] = []
  const fresh: string[] = []
  for (const [text, { at, source, flags }] of distinct) {
    if (TOLERATED.has(source) || JUDGED.has(text)) continue
    fresh.push(text)
    const found = await check(source, flags, { timeout: 20_000, checker: 'automaton', maxNFASize: 100_000 })
    // What looks ahead is beyond automata; then it is attacked.
    const last =
      found.status === 'unknown' ? await check(source, flags, { timeout: 20_000, checker: 'auto' }) : found
    if (last.status !== 'safe') wrong.push(`${at} ${text}: ${last.status}`)
  }
  t.diagnostic(
    `${distinct.size} expressions, ${fresh.length} of them new${fresh.length === 0 ? '' : ` (${fresh.join(' ')})`}, in ${Math.round(performance.now() - begun)} ms`,
  )
  assert.deepEqual(wrong, [])
  for (const text of JUDGED)
    assert.ok(distinct.has(text), `${text} is no more; take it out of judged-regexes.json`)
  const known = new Set(literals.map(({ source }) => source))
  for (const source of TOLERATED.keys()) assert.ok(known.has(source), `${source} is no more`)
})

const SIZE = 100_000
const times = (text: string): string => text.repeat(Math.ceil(SIZE / text.length)).slice(0, SIZE)

/** Texts that make readers begin again and again, or give up at the very end. */
const PUMPS = [
  '0',
  '9',
  'a',
  'A',
  '_',
  '-',
  '.',
  ':',
  '/',
  ' ',
  '\t',
  '%',
  '=',
  ',',
  ';',
  '"',
  '\\',
  '[',
  '(',
  '<',
  '{',
  '[[',
  '0.',
  '1.1.1.1',
  '::',
  '::ffff:',
  'a:',
  'a/',
  '../',
  '%0a',
  '_session_a',
  'session_',
  'bearer ',
  'sk-',
  'sk-tf-',
  'AIza',
  'arn:aws-',
  'https://',
  'data:',
  'data:;',
  ';base64,',
  '[[sandbox:',
  '<a>',
  '<a><b>',
  '</a>',
  'write a ',
  'write 1 ',
  '写',
  '写1',
  'gpt-',
  'claude-',
  'claude-3',
  'kimi-k2',
  'deepseek-',
  'models/',
  '/v1',
  '/v1beta/models/',
  'key=',
  'a&',
  '\\u0061',
  '\r\n',
  '\n',
  '\ud83d\ude00',
] as const

function hurtful(): string[] {
  return PUMPS.flatMap((pump) => [
    times(pump),
    `${times(pump).slice(0, -1)}!`,
    `!${times(pump).slice(1)}`,
    `${times(pump).slice(0, -2)}\n!`,
  ])
}

/** CPU of the quickest of a few runs: what the machine does beside is not counted. */
function cpuMs(work: () => void): number {
  let best = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 5 && best >= 10; turn++) {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1_000)
  }
  return best
}

test('A30: each literal expression takes less than 10 ms for texts of 100 kB that are made to hurt', () => {
  const texts = hurtful()
  const slow: string[] = []
  for (const { at, source, flags } of new Map(
    literals.map((literal) => [literal.source, literal]),
  ).values()) {
    if (TOLERATED.get(source)?.startsWith('timed') === false) continue
    const expression = new RegExp(source, flags.replace('y', ''))
    // All at once first: most take next to nothing, and only what does not is looked at one by one.
    const all = cpuMs(() => {
      for (const text of texts) text.replace(expression, '')
    })
    if (all < 10) continue
    for (const text of texts) {
      const ms = cpuMs(() => void text.replace(expression, ''))
      if (ms >= 10) slow.push(`${at} on ${JSON.stringify(text.slice(0, 20))}: ${ms.toFixed(1)} ms`)
    }
  }
  assert.deepEqual(slow, [])
})

function requestWith(headers: Record<string, string>, url = '/v1/chat/completions'): IncomingMessage {
  const request = new IncomingMessage(new Socket())
  request.url = url
  request.method = 'POST'
  Object.assign(request.headers, headers)
  for (const [name, value] of Object.entries(headers)) request.rawHeaders.push(name, value)
  return request
}

/** A longer first line is no request (431). */
const HEAD_MAX = 16_384
const TRUSTED = networksOf(['10.0.0.0/8'])
/** Of the sandbox's own, which is no part of serving models: linear is enough. */
const ALLOWED_MS: Readonly<Record<string, number>> = { 'the sandbox’s tags': 50 }
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  'the credential in Authorization': (text) => readCredential(requestWith({ authorization: text })),
  'the credential after Bearer': (text) => readCredential(requestWith({ authorization: `Bearer ${text}` })),
  'the credential in the query': (text) =>
    readCredential(requestWith({}, `/v1beta/models/m?${text.slice(-HEAD_MAX)}`)),
  'an API key': looksLikeApiKey,
  'the host and the target': (text) => shapeFault(requestWith({ host: text }, `/${text}`)),
  'what goes on': (text) =>
    headersGoingOn(requestWith({ connection: text, 'openai-beta': text }), ['openai-beta']),
  'the count of retries': (text) => retryCount(requestWith({ 'x-stainless-retry-count': text })),
  'a session in a header': (text) => sessionOf(requestWith({ 'x-session-id': text }), {}),
  'a session in the body': (text) => sessionOf(requestWith({}), { metadata: { user_id: text } }),
  'the path': (text) => matchCall(`/v1/${text}`, text),
  'the path of Gemini': (text) => geminiPath(`/v1beta/models/${text}:generateContent`),
  'the path of a stored response': (text) => matchStored('GET', `/v1/responses/${text}`),
  'the name of a model': (text) => familyOf(text),
  'the nearest name': (text) => nearestName(text, ['gpt-5-mini', 'claude-sonnet-5']),
  'a network': (text) => wrongNetwork([text, `${text}/8`]),
  'an address': plainAddress,
  'the way a request came': (text) =>
    senderAddress({ socket: { remoteAddress: '10.0.0.1' }, headers: { 'x-forwarded-for': text } }, TRUSTED),
  'a name': cleanName,
  'an id': (text) => parseId('req', text),
  'an amount': parseNano,
  'a string of JSON': (text) => parseJson(JSON.stringify(text)),
  'no JSON at all': (text) => parseJson(text),
  'the sandbox’s markers': takeMarkers,
  'the sandbox’s tags': (text) => withoutWrapping(text, ''),
  'the sandbox’s wishes': wordsAsked,
}

test('A30: what is read of a request takes less than 10 ms for texts of 100 kB that are made to hurt', () => {
  const slow: string[] = []
  for (const [name, read] of Object.entries(READERS))
    for (const text of hurtful()) {
      const ms = cpuMs(() => void read(text))
      if (ms >= (ALLOWED_MS[name] ?? 10))
        slow.push(`${name} on ${JSON.stringify(text.slice(0, 20))}: ${ms.toFixed(1)} ms`)
    }
  assert.deepEqual(slow, [])
})

test('A30: a request whose names are 100 kB long is read as fast', () => {
  const slow: string[] = []
  for (const [name, protocol] of Object.entries(PROTOCOLS))
    for (const text of hurtful()) {
      const message = { role: 'user', content: 'tide?' }
      const body = {
        model: text,
        user: text,
        metadata: { user_id: text },
        messages: [message],
        input: 'tide?',
        contents: [],
      }
      const ms = cpuMs(() => void protocol.readRequest({ body, byteLength: SIZE * 3, path: null }))
      if (ms >= 10) slow.push(`${name} on ${JSON.stringify(text.slice(0, 20))}: ${ms.toFixed(1)} ms`)
    }
  assert.deepEqual(slow, [])
})

test('the sandbox takes away what agents put around words, and nothing else', () => {
  for (const [text, rest] of [
    ['a<b>c</b>d', 'a|d'],
    ['<b>c</b><b>d</b>e', '||e'],
    ['<b><c>x</b></c>', '|</c>'],
    ['<b>no end', '<b>no end'],
    ['</b>no begin<b>', '</b>no begin<b>'],
    ['<b></c>x</b>y', '|y'],
    ['<b><b>x</b>y</b>', '|y</b>'],
    ['<B>x</B>', '<B>x</B>'],
  ] as const)
    assert.equal(withoutWrapping(text, '|'), rest, text)
})
