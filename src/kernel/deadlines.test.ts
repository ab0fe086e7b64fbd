import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from './clock.ts'
import { createDeadlines, type Waiting } from './deadlines.ts'

interface Noted extends Waiting {
  atMs: number
  toldMs: number | null
}

function waitingFor(ms: number): Noted {
  return {
    atMs: systemClock.monotonicMs() + ms,
    toldMs: null,
    dueMs() {
      return this.atMs
    },
    overdue() {
      assert.equal(this.toldMs, null, 'told twice')
      this.toldMs = systemClock.monotonicMs()
    },
  }
}

test('each is told once, after its time and not long after it, in whatever order they came', async () => {
  const deadlines = createDeadlines(systemClock)
  const all = [400, 20, 130, 60, 250].map(waitingFor)
  for (const one of all) deadlines.watch(one)
  const answered = waitingFor(100)
  deadlines.watch(answered)
  deadlines.unwatch(answered)
  await sleep(1_000)
  for (const { atMs, toldMs } of all) {
    assert.ok(toldMs !== null && toldMs >= atMs - 2, `told ${toldMs}, due ${atMs}`)
    assert.ok(toldMs < atMs + 500, `told ${toldMs}, due ${atMs}`)
  }
  assert.equal(answered.toldMs, null)
  deadlines.close()
})

test('a time may move away without a word, and nearer with one', async () => {
  const deadlines = createDeadlines(systemClock)
  const [later, sooner] = [waitingFor(60), waitingFor(60_000)]
  deadlines.watch(later)
  deadlines.watch(sooner)
  later.atMs += 60_000
  await sleep(200)
  assert.equal(later.toldMs, null)
  sooner.atMs = systemClock.monotonicMs() + 80
  deadlines.watch(sooner)
  await sleep(600)
  assert.ok(sooner.toldMs !== null)
  assert.equal(later.toldMs, null)
  deadlines.close()
})

test('what was told may watch again, and ends nobody else', async () => {
  const deadlines = createDeadlines(systemClock)
  const [first, second] = [waitingFor(30), waitingFor(30)]
  const third: Waiting = {
    dueMs: () => first.atMs,
    overdue() {
      deadlines.unwatch(second)
      second.atMs = systemClock.monotonicMs() + 60
      deadlines.watch(second)
    },
  }
  deadlines.watch(third)
  deadlines.watch(second)
  deadlines.watch(first)
  await sleep(700)
  assert.ok(first.toldMs !== null)
  assert.ok(second.toldMs !== null && second.toldMs >= second.atMs - 2)
  deadlines.close()
})
