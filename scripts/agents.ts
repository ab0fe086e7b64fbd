import assert from 'node:assert/strict'
import { CLAUDE } from './agents/claude.ts'
import { CODEX } from './agents/codex.ts'
import { installAgents } from './agents/install.ts'
import { startProduct } from './agents/product.ts'
import { type Stage, turnsOf } from './agents/turns.ts'
import { buildWall, openWindow } from './agents/wire.ts'

/**
 * Runs the real Claude Code and the real Codex through the gateway, over every kind of channel, and checks what they
 * print, how they end, and the receipts, the runs and the ledger they leave. `npm run agents -- codex` runs those
 * turns whose name has the word.
 */

interface Counts {
  passed: number
  failed: number
}

async function counted(counts: Counts, name: string, go: () => Promise<string>): Promise<void> {
  try {
    const told = await go()
    counts.passed++
    console.log(`✔ ${name} (${told})`)
  } catch (thrown) {
    counts.failed++
    console.log(`✖ ${name}\n${thrown instanceof Error ? thrown.stack : String(thrown)}`)
  }
}

async function playAll(stage: Stage, counts: Counts, word: string): Promise<void> {
  for (const turn of [CLAUDE, CODEX].flatMap(turnsOf))
    if (turn.name.toLowerCase().includes(word)) await counted(counts, turn.name, () => turn.go(stage))
  await counted(counts, 'the audit', async () => {
    await stage.product.audit()
    return 'every invariant holds'
  })
}

async function main(): Promise<boolean> {
  const counts: Counts = { passed: 0, failed: 0 }
  console.log('Agents from npm')
  const installed = await installAgents()
  const product = await startProduct()
  try {
    const [window, wall] = [await openWindow(product.url), await buildWall()]
    await playAll({ product, window, wall, installed }, counts, (process.argv[2] ?? '').toLowerCase())
    await counted(
      counts,
      'with the settings of docs/clients.md agents ask nobody but the gateway',
      async () => {
        assert.deepEqual([...wall.refused], [])
        return 'no other host'
      },
    )
    await window.close()
    await wall.close()
  } finally {
    await product.stop()
  }
  // As node's test runner ends, so that CI counts both alike.
  console.log(`ℹ pass ${counts.passed}\nℹ fail ${counts.failed}`)
  return counts.failed === 0
}

try {
  if (!(await main())) process.exitCode = 1
} catch (thrown) {
  console.error(`The agents were not run: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  process.exitCode = 1
}
