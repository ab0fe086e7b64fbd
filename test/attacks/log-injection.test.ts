import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { OPERATOR_TOKEN, startForge, testConfig, withSandbox } from '../forge.ts'
import { withUpstreams } from '../gateway/ask.ts'
import { startStub } from '../gateway/stub.ts'
import { startProcess } from './process.ts'
import { raw } from './raw.ts'

/** A31: the log is lines of JSON whatever anybody writes into a request: no line of their own, no command to a terminal. */

const FORGED = '{"level":50,"time":"2026-01-01T00:00:00.000Z","msg":"forged"}'
const HOSTILE = [
  `a\r\n${FORGED}\r\n`,
  `a\n${FORGED}\n`,
  `","msg":"forged","x":"`,
  '\\","msg":"forged","x":"\\',
  '\u001b[2J\u001b[31mred\u001b[0m\u0007',
  '\u009b2J\u009b31m',
  '\u2028forged\u2029',
  '\u0000\u0008\u000b\u000c\u007f',
  '\u202eforged\u202c',
  '\ud800',
  '%0d%0aforged',
  ['$', '{jndi:ldap://x}'].join(''),
]

/** Every line is an object of ours, and nothing in it but plain text. */
function assertLines(text: string): number {
  const lines = text.split('\n')
  assert.equal(lines.pop(), '', 'it ends with its last line')
  for (const line of lines) {
    const entry = JSON.parse(line) as Record<string, unknown>
    assert.equal(typeof entry['level'], 'number', line)
    assert.equal(typeof entry['time'], 'string', line)
    assert.notEqual(entry['msg'], 'forged', line)
    const odd = [...line].find(
      (char) =>
        char < ' ' || (char >= '\u007f' && char <= '\u009f') || char === '\u2028' || char === '\u2029',
    )
    assert.equal(odd, undefined, JSON.stringify(line))
  }
  return lines.length
}

test('A31: whatever is logged, in any place, is one line of JSON', () => {
  const texts = [
    ...HOSTILE,
    ...fc.sample(fc.string({ unit: 'binary', maxLength: 60 }), { numRuns: 300, seed: 31 }),
  ]
  const script = `
    import { createLog } from ${JSON.stringify(join(import.meta.dirname, '../../src/app.ts'))}
    const log = createLog('trace')
    for (const text of JSON.parse(process.argv[1])) {
      log.error({ error: text, stack: text, request: text, nested: { [text]: [text] } }, text)
      log.warn({ [text]: text }, text)
    }`
  const { stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script, JSON.stringify(texts)],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  assert.equal(status, 0, stderr.slice(0, 2_000))
  assert.equal(assertLines(stderr), texts.length * 2, 'as many lines as there were words to say')
})

test('A31: a gateway that is told hostile things logs lines of its own only', async (t) => {
  let word = ''
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(401, {
      'content-type': 'application/json',
      'x-request-id': encodeURIComponent(word.slice(0, 40).toWellFormed()),
    })
    res.end(JSON.stringify({ error: { message: word, type: word, code: word } }))
  })
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'] }, ours: { ordinary: [''] } }), {
    stub: stub.url,
  })
  const forge = await startForge(t, { config })
  const account = await forge.account()
  const gateway = await startProcess(t, {
    databaseUrl: forge.databaseUrl,
    config: withSandbox(config, forge.sandbox),
    env: { FORGE_LOG_LEVEL: 'trace' },
  })
  const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<number> =>
    fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${account.key}`, 'content-type': 'application/json', ...headers },
      body,
    }).then(async (response) => {
      await response.text()
      return response.status
    })
  const poor = await forge.account({ grants: {} })
  await forge.owner.query(
    'alter function ledger.open_accounts(uuid, text, text) rename to open_accounts_gone',
  )

  let requests = 0
  for (const text of HOSTILE) {
    word = text
    const quoted = JSON.stringify(text)
    const body = `{"model":"m","messages":[{"role":"user","content":${quoted}}],"user":${quoted}}`
    const header = text.replace(/[^\x20-\x7e]/g, '?')
    await post('/v1/chat/completions', body)
    await post('/v1/chat/completions', body, {
      'x-tf-run': header,
      'x-tf-step': header,
      'user-agent': header,
    })
    await post('/v1/chat/completions', `{"model":${quoted},"messages":[]}`)
    await post('/v1/chat/completions', body, { authorization: `Bearer ${header}` })
    // It fails inside, for want of the function, and that is logged with its words.
    await post('/v1/chat/completions', body.replace('"m"', '"ours"'), {
      authorization: `Bearer ${poor.key}`,
      'x-tf-run': header,
    })
    await post(`/v1beta/models/${encodeURIComponent(text.toWellFormed())}:generateContent`, body)
    await post(`/v1/${encodeURIComponent(text.toWellFormed())}`, body)
    await post('/api/v1/organizations', `{"name":${quoted}}`, { authorization: `Bearer ${OPERATOR_TOKEN}` })
    await post('/api/v1/projects', `{"name":${quoted},"organization":${quoted}}`, {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
    })
    await raw(gateway.url, `GET /v1/${text} HTTP/1.1\r\nhost: a\r\nx-a: ${text}\r\n\r\n`, 100)
    requests += 10
  }
  assert.equal(await gateway.stop(), 0)
  const log = gateway.log()
  const lines = assertLines(log)
  t.diagnostic(`${lines} lines for ${requests} requests`)
  assert.match(log, /a request failed inside the gateway/, 'the failures were logged')
  assert.ok(!log.includes(account.key) && !log.includes(OPERATOR_TOKEN))
  await forge.owner.query(
    'alter function ledger.open_accounts_gone(uuid, text, text) rename to open_accounts',
  )
})
