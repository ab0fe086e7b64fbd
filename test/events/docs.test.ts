import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { freePort } from '../../scripts/free-port.ts'
import { signWebhook } from '../../src/client/index.ts'
import { until } from './stand.ts'

const ROOT = join(import.meta.dirname, '../..')

test('the receiver in docs/webhooks.md takes what is signed, once, and refuses the rest', async (t) => {
  const [, written = ''] =
    /```js\n([\s\S]+?)```/.exec(readFileSync(join(ROOT, 'docs/webhooks.md'), 'utf8')) ?? []
  // The name is that of the package when it is installed; test/published shows that it leads here.
  const code = written.replace(
    "'tokens-forge/client'",
    `'${pathToFileURL(join(ROOT, 'src/client/index.ts'))}'`,
  )
  assert.notEqual(code, written)
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const port = await freePort()
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: ROOT,
    env: { PORT: String(port), WEBHOOK_SECRET: secret },
  })
  t.after(() => child.kill())
  let out = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    out += String(chunk)
  })
  child.stderr.on('data', (chunk) => {
    errors += String(chunk)
  })
  const url = `http://127.0.0.1:${port}/`
  await until(
    'the receiver',
    () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    20_000,
  ).catch((thrown) => {
    throw new Error(`${thrown}: ${errors}`)
  })
  const body = '{"type":"budget.reached","data":{"used":"20.01"}}'
  const post = async (atMs: number, sent = body, id = 'evt_1') => {
    const headers = { ...signWebhook([secret], { id, atMs, body }) }
    return (await fetch(url, { method: 'POST', headers, body: sent })).status
  }
  assert.equal(await post(Date.now()), 204)
  assert.equal(await post(Date.now()), 204)
  assert.equal(await post(Date.now(), body.replace('20', '21'), 'evt_2'), 400)
  assert.equal(await post(Date.now() - 10 * 60_000, body, 'evt_3'), 400)
  assert.equal(out.split('budget.reached').length - 1, 1, 'a repeat is handled once')
})
