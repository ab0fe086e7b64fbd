import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MUTATIONS } from './mutations.ts'

/** FORGE_TEST_MUTATIONS=1 node --test test/ledger/mutations.test.ts: slow, and of use only after a change of the ledger. */

function run(file: string, mutation: string): Promise<{ code: number | null; output: string }> {
  // NODE_TEST_CONTEXT would make the child report to us instead of failing by its exit code.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn(
    process.execPath,
    ['--test', '--test-force-exit', '--test-timeout=60000', fileURLToPath(new URL(file, import.meta.url))],
    { env: { ...env, FORGE_TEST_MUTATION: mutation }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  child.stdout.on('data', (part) => {
    output += part
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })))
}

const enabled = process.env['FORGE_TEST_MUTATIONS'] === '1'

for (const { name, noticedBy } of enabled ? MUTATIONS : []) {
  test(`noticed: ${name}`, async () => {
    const { code, output } = await run(noticedBy, name)
    assert.doesNotMatch(output, /finds nothing to change|no mutation is called/)
    assert.notEqual(code, 0, `${noticedBy} passes although ${name}`)
  })
}

for (const file of enabled ? new Set(MUTATIONS.map((mutation) => mutation.noticedBy)) : []) {
  test(`and without a mutation ${file} passes`, async () => {
    const { code, output } = await run(file, '')
    assert.equal(code, 0, output)
  })
}
