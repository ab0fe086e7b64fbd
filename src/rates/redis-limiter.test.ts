import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { NO_REDIS, TestRedis } from '../../test/redis.ts'
import { createIdSource, silentLog, systemClock } from '../kernel/index.ts'
import { type Limiter, openLimiter } from './limiter.ts'
import { LocalCounts } from './local.ts'
import type { RateAmounts, RateLimit, RateVerdict, Reservation } from './records.ts'

const ids = createIdSource(systemClock.nowMs, randomBytes)
const skip = { skip: NO_REDIS }

function limitOf(amounts: Partial<RateAmounts>, orgId = ids.uuid()): RateLimit {
  return {
    id: ids.uuid(),
    orgId,
    scope: 'organization',
    scopeId: orgId,
    amounts: { requests_per_minute: null, tokens_per_minute: null, concurrency: null, ...amounts },
    setBy: 'operator',
    createdAtMs: 0,
    endedAtMs: null,
  }
}

async function open(t: TestContext, redis: TestRedis, processes = 1): Promise<Limiter> {
  const limiter = await openLimiter({
    redisUrl: redis.url,
    processId: ids.uuid(),
    processes,
    clock: systemClock,
    log: silentLog,
  })
  t.after(() => limiter.close())
  return limiter
}

async function admitted(limiter: Limiter, limits: readonly RateLimit[], times: number, tokens = 0) {
  const verdicts = await Promise.all(
    Array.from({ length: times }, async () => limiter.admit(limits, tokens, ids.uuid())),
  )
  return verdicts.flatMap((verdict) => (verdict.ok ? [verdict.reservations] : []))
}

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    if (await look()) return
    await sleep(10)
  }
  throw new Error(`waited too long for ${what}`)
}

test('processes share a limit exactly, and what one gives back the other has', skip, async (t) => {
  const redis = await TestRedis.start(t)
  const [one, two] = [await open(t, redis), await open(t, redis)]
  assert.deepEqual([one.state, two.state], ['shared', 'shared'])
  const limit = limitOf({ requests_per_minute: 50, tokens_per_minute: 10_000, concurrency: 30 })
  const running = (
    await Promise.all([admitted(one, [limit], 40, 100), admitted(two, [limit], 40, 100)])
  ).flat()
  assert.equal(running.length, 30, 'concurrency')
  const [first, second] = [running.slice(0, 10), running.slice(10)]
  for (const reservations of first) one.end(reservations, 10)
  await until('room', async () => (await admitted(two, [limit], 1, 100)).length === 1)
  const more = await Promise.all([admitted(one, [limit], 40, 100), admitted(two, [limit], 40, 100)])
  assert.equal(more.flat().length, 9)
  for (const reservations of [...second, ...more.flat()]) two.end(reservations, 100)
  await sleep(50)
  const rest = await Promise.all([admitted(one, [limit], 40, 0), admitted(two, [limit], 40, 0)])
  assert.equal(rest.flat().length, 10, 'fifty requests a minute, whoever serves them')
  assert.doesNotMatch(await redis.dump(), /sk-|secret|Bearer/)
})

test(
  'what ended while Redis was away is given back when it answers, before the lease would end',
  skip,
  async (t) => {
    const redis = await TestRedis.start(t)
    const [one, two] = [await open(t, redis), await open(t, redis)]
    const limit = limitOf({ concurrency: 10 })
    const running = await admitted(one, [limit], 10)
    assert.equal(running.length, 10)
    assert.equal((await admitted(two, [limit], 1)).length, 0)
    redis.stop()
    for (const reservations of running) one.end(reservations, 0)
    await until('Redis to be missed', () => one.state === 'away')
    redis.resume()
    await until('both to share again', () => one.state === 'shared' && two.state === 'shared')
    const resumed = performance.now()
    await until('room', async () => (await admitted(two, [limit], 10)).length > 0)
    assert.ok(performance.now() - resumed < 5_000, 'a lease ends after fifteen seconds')
  },
)

test('the scripts decide as the memory does, admissions, refusals and corrections', skip, async (t) => {
  const redis = await TestRedis.start(t)
  const shared = await open(t, redis)
  const amount = (max: number) => fc.option(fc.integer({ min: 0, max }), { nil: null })
  const told = (verdict: RateVerdict): unknown =>
    verdict.ok
      ? verdict.uses.map(({ requests, tokens }) => [requests, tokens])
      : [verdict.refusal.measure, verdict.refusal.used, verdict.refusal.needed, verdict.refusal.never]
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ requests_per_minute: amount(6), tokens_per_minute: amount(200), concurrency: amount(3) }),
        { minLength: 1, maxLength: 3 },
      ),
      fc.array(fc.record({ admit: fc.boolean(), tokens: fc.nat(90), which: fc.nat(9) }), { maxLength: 25 }),
      async (amounts, steps) => {
        // Both count seconds of their own; what takes a moment is the same in both.
        const orgId = ids.uuid()
        const limits = amounts.map((one) => limitOf(one, orgId))
        const plain = new LocalCounts(systemClock)
        const running: Array<readonly [readonly Reservation[], readonly Reservation[]]> = []
        for (const { admit, tokens, which } of steps) {
          if (admit) {
            const lease = ids.uuid()
            const [expected, got] = [
              plain.admit(limits, tokens, lease, 1),
              await shared.admit(limits, tokens, lease),
            ]
            assert.deepEqual([got.ok, told(got)], [expected.ok, told(expected)])
            if (expected.ok && got.ok) running.push([expected.reservations, got.reservations])
          } else if (running.length > 0) {
            const [ended] = running.splice(which % running.length, 1)
            for (const one of ended?.[0] ?? []) plain.end(one, tokens)
            if (ended !== undefined) shared.end(ended[1], tokens)
          }
        }
        for (const [, reservations] of running) shared.end(reservations, 0)
      },
    ),
    { numRuns: 60 },
  )
})

test(
  'without Redis each process keeps to its share, waits once, and goes on together when it is back',
  skip,
  async (t) => {
    const redis = await TestRedis.start(t)
    const [one, two] = [await open(t, redis), await open(t, redis)]
    // Both have heard of each other: signs are given every 5 s.
    await sleep(5_500)
    const limit = limitOf({ requests_per_minute: 20 })
    redis.stop()
    const begunMs = performance.now()
    const served = await Promise.all([admitted(one, [limit], 30), admitted(two, [limit], 30)])
    const tookMs = performance.now() - begunMs
    assert.deepEqual(
      served.map((all) => all.length),
      [10, 10],
      'half of it each',
    )
    assert.ok(tookMs < 400, `the first wait: ${tookMs} ms`)
    assert.deepEqual([one.state, two.state], ['away', 'away'])
    const other = limitOf({ requests_per_minute: 1_000_000 })
    for (let turn = 0; turn < 200; turn++) {
      const verdict = one.admit([other], 0, ids.uuid())
      assert.ok(!(verdict instanceof Promise), 'nobody waits for a Redis that is known to be away')
      if (verdict.ok) one.end(verdict.reservations, 0)
    }
    redis.resume()
    await until('it to be found again', () => one.state === 'shared' && two.state === 'shared')
    const late = await Promise.all([admitted(one, [limit], 30), admitted(two, [limit], 30)])
    assert.ok(late.flat().length <= 20, 'never more than once more')
    await redis.kill()
    const alone = await admitted(one, [other], 5)
    assert.equal(alone.length, 5)
    assert.equal(one.state, 'away')
    for (const reservations of alone) one.end(reservations, 0)
    await redis.run()
    await until('the new one to be found', () => one.state === 'shared')
    assert.equal((await admitted(one, [other], 3)).length, 3, 'a Redis that knows none of the scripts')
    const kept = limitOf({ concurrency: 2 })
    await redis.kill()
    const meanwhile = await admitted(one, [kept], 1)
    assert.equal(meanwhile.length, 1)
    await redis.run()
    await until('both to be back', () => one.state === 'shared' && two.state === 'shared')
    assert.equal((await admitted(two, [kept], 2)).length, 1, 'what began meanwhile counts for all')
    await one.close()
    assert.equal(await redis.command('ZCARD tf:rate:processes'), ':1', 'who leaves says so')
  },
)

test(
  'a flushed Redis gets back what runs, and each process still holds itself to the limit',
  skip,
  async (t) => {
    const redis = await TestRedis.start(t)
    const [one, two] = [await open(t, redis), await open(t, redis)]
    const limit = limitOf({ requests_per_minute: 10, concurrency: 4 })
    const running = await admitted(one, [limit], 4)
    assert.equal(running.length, 4)
    await redis.flush()
    assert.equal((await admitted(one, [limit], 4)).length, 0, 'by its own count')
    const key = `tf:rate:{${limit.orgId}}:${limit.id}:c`
    await until('leases to be made again', async () => (await redis.command(`ZCARD ${key}`)) === ':4')
    assert.equal((await admitted(two, [limit], 4)).length, 0)
    for (const reservations of running) one.end(reservations, 0)
    await until('leases to end', async () => (await redis.command(`ZCARD ${key}`)) === ':0')
  },
)

test('what a killed process held comes back when its leases end', skip, async (t) => {
  const redis = await TestRedis.start(t)
  const [one, two] = [await open(t, redis), await open(t, redis)]
  const limit = limitOf({ concurrency: 2 })
  assert.equal((await admitted(one, [limit], 2)).length, 2)
  assert.equal((await admitted(two, [limit], 1)).length, 0)
  // As after SIGKILL: nobody renews, nobody gives back.
  await one.close()
  const since = performance.now()
  let free = 0
  for (let turn = 0; turn < 200 && free === 0; turn++) {
    free = (await admitted(two, [limit], 1)).length
    await sleep(100)
  }
  assert.equal(free, 1)
  assert.ok(performance.now() - since < 16_500, 'fifteen seconds, and no sooner than it can be known')
})

test('a name that no server has is away, and no start waits for it long', async (t) => {
  const begunMs = performance.now()
  const limiter = await openLimiter({
    redisUrl: 'redis://127.0.0.1:1',
    processId: randomUUID(),
    processes: 2,
    clock: systemClock,
    log: silentLog,
  })
  t.after(() => limiter.close())
  assert.ok(performance.now() - begunMs < 3_000)
  assert.equal(limiter.state, 'away')
  const limit = limitOf({ requests_per_minute: 10 })
  const verdicts = Array.from({ length: 12 }, () => limiter.admit([limit], 0, ids.uuid()))
  assert.equal(verdicts.filter((verdict) => 'ok' in verdict && verdict.ok).length, 5, 'its share')
})
