import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { acquireStartLock } from './start-lock.ts'

const MODULE = new URL('./start-lock.ts', import.meta.url).href
const HOLD = `const { acquireStartLock } = await import(${JSON.stringify(MODULE)})
await acquireStartLock(process.argv[1], 5000); console.log('held'); setInterval(() => {}, 1000)`

test('one at a time holds the lock, and everyone gets a turn', async () => {
  const name = `turns-${process.pid}`
  let inside = 0
  let turns = 0
  const visit = async (): Promise<void> => {
    const lock = await acquireStartLock(name, 5_000)
    inside += 1
    assert.equal(inside, 1)
    await new Promise(setImmediate)
    turns += 1
    inside -= 1
    await lock.release()
  }
  await Promise.all(Array.from({ length: 12 }, visit))
  assert.equal(turns, 12)
})

test('a holder that is killed leaves the lock free at once', async () => {
  const name = `killed-${process.pid}`
  const holder = spawn(process.execPath, ['--input-type=module', '-e', HOLD, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  const waiting = acquireStartLock(name, 5_000)
  await assert.rejects(acquireStartLock(name, 30), /giving up/)
  holder.kill('SIGKILL')
  await (await waiting).release()
})
