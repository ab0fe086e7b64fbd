import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startApi } from '../api-stand.ts'
import { fund, spend } from './stand.ts'

test('every example of docs/api.md works as it is written', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/api.md'), 'utf8')
  const examples = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  assert.ok(examples.length >= 6)
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await fund(stand, a.org)
  await spend(stand, a, {
    at: '2026-03-08T12:00:00Z',
    bucket: 'rmb',
    chargeNano: 5n,
    channels: ['direct', 'relay'],
  })
  const env = { ...process.env, FORGE: stand.url, KEY: a.key, TOKEN: stand.operator, ORG: a.org }
  for (const example of examples) {
    const { stdout } = await promisify(execFile)('sh', ['-c', example], { env })
    if (example.includes('csv')) assert.match(stdout, /^id,created_at,[\s\S]*0\.000000005/)
    else if (example.includes('/usage')) assert.equal(JSON.parse(stdout).data[0].charged, '0.000000005')
    else if (example.includes('/receipts')) assert.equal(JSON.parse(stdout).data.length, 1)
    else assert.equal(typeof JSON.parse(stdout), 'object')
  }
})
