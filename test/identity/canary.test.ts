import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Log } from '../../src/kernel/index.ts'
import { secretOf, totp } from './browser.ts'
import { SESSION, startSignIn } from './stand.ts'

test('no password, token, secret or session is in a table or a log in clear', async (t) => {
  const lines: string[] = []
  const write = (fields: object, message: string): void => void lines.push(JSON.stringify([fields, message]))
  const log: Log = { debug: write, info: write, warn: write, error: write }
  const stand = await startSignIn(t, { identity: { log } })
  const printed = t.mock.method(process.stderr, 'write', (text: string) => lines.push(String(text)) > 0)
  const shown = t.mock.method(process.stdout, 'write', (text: string) => lines.push(String(text)) > 0)
  const password = 'canary-password-0123456789'
  const secrets = [password]
  const browser = stand.browser()
  const email = 'canary@example.com'
  const invitation = `invite:${email}`
  await browser.post('/api/auth/sign-up/email', { email, password, name: 'C', invitation })
  const keep = (): void => {
    for (const [name, value] of browser.jar) {
      const [token = ''] = decodeURIComponent(value).split('.')
      assert.ok(token.length >= 20, name)
      secrets.push(token, value)
    }
  }
  await browser.post('/api/auth/sign-in/email', { email, password })
  keep()
  const enabled = await browser.post('/api/auth/two-factor/enable', { password })
  const secret = secretOf(enabled.json.totpURI)
  secrets.push(...enabled.json.backupCodes, new URL(enabled.json.totpURI).searchParams.get('secret') ?? '')
  await browser.post('/api/auth/two-factor/verify-totp', { code: totp(secret, -1) })
  keep()
  await browser.post('/api/auth/sign-out')
  await browser.post('/api/auth/sign-in/email', { email, password })
  keep()
  await browser.post('/api/auth/two-factor/verify-totp', { code: totp(secret) })
  keep()
  const code = await stand.operatorCode()
  secrets.push(code)
  assert.equal((await browser.post('/api/auth/operator/claim', { code })).status, 200)
  keep()
  // Refusals and mistakes are what logs are made of.
  await browser.post('/api/auth/sign-in/email', { email, password: `${password}x` })
  await browser.post('/api/auth/sign-up/email', {
    email,
    password,
    name: 'C',
    invitation: 'canary-invitation-wrong',
  })
  await stand.browser().post('/api/auth/sign-in/email', { email: 'x', password })
  secrets.push('canary-invitation-wrong')
  printed.mock.restore()
  shown.mock.restore()
  assert.ok(browser.jar.has(SESSION))
  const tables = await stand.owner.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('identity', 'tenancy')`,
  )
  assert.ok(tables.length > 10)
  const rows = await Promise.all(
    tables.map(({ name }) => stand.owner.query(`select t::text as row from ${name} t`)),
  )
  const stored = JSON.stringify(rows)
  assert.ok(stored.includes(email), 'the test must see the rows')
  for (const each of secrets) {
    assert.ok(!stored.includes(each), `in a table: ${each}`)
    assert.ok(!lines.join('\n').includes(each), `in a log: ${each}`)
  }
})
