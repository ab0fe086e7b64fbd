import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenSource } from './token.ts'

/** An exchange that is answered by hand, and a clock that is turned. */
function stand(lifetimeMs: number) {
  const time = { nowMs: 1_000_000 }
  const clock = { nowMs: () => time.nowMs, monotonicMs: () => time.nowMs }
  const asked: Array<{ give: () => void; fail: () => void }> = []
  const source = new TokenSource(
    () =>
      new Promise((resolve, reject) => {
        const text = `token-${asked.length + 1}`
        asked.push({
          give: () => resolve({ text, expiresAtMs: time.nowMs + lifetimeMs }),
          fail: () => reject(new Error('no')),
        })
      }),
    clock,
  )
  return { time, asked, source }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('requests at the same time share one exchange, and later ones its token', async () => {
  const { asked, source } = stand(3_600_000)
  const waiting = Array.from({ length: 50 }, () => source.get())
  asked[0]?.give()
  const texts = new Set((await Promise.all(waiting)).map(({ text }) => text))
  assert.deepEqual([...texts], ['token-1'])
  assert.equal((await source.get()).text, 'token-1')
  assert.equal(asked.length, 1)
})

test('a token is renewed four minutes before it expires, while the old one serves', async () => {
  const { time, asked, source } = stand(3_600_000)
  const first = source.get()
  asked[0]?.give()
  await first
  time.nowMs += 3_600_000 - 4 * 60_000 - 1
  await source.get()
  assert.equal(asked.length, 1)
  time.nowMs += 1
  assert.equal((await source.get()).text, 'token-1')
  assert.equal((await source.get()).text, 'token-1')
  assert.equal(asked.length, 2)
  asked[1]?.give()
  await settle()
  assert.equal((await source.get()).text, 'token-2')
})

test('a renewal that fails is tried again after a pause, and told when the token is used up', async () => {
  const { time, asked, source } = stand(3_600_000)
  const first = source.get()
  asked[0]?.give()
  await first
  time.nowMs += 3_600_000 - 60_000
  await source.get()
  asked[1]?.fail()
  await settle()
  assert.equal((await source.get()).text, 'token-1')
  assert.equal(asked.length, 2)
  time.nowMs += 10_000
  assert.equal((await source.get()).text, 'token-1')
  assert.equal(asked.length, 3)
  asked[2]?.fail()
  await settle()
  time.nowMs += 50_000
  const last = source.get()
  asked[3]?.fail()
  await assert.rejects(last, /no/)
})

test('a refused token is dropped once: who comes later with the old one does not drop the new one', async () => {
  const { asked, source } = stand(3_600_000)
  const first = source.get()
  asked[0]?.give()
  const old = await first
  assert.ok(source.drop(old))
  const second = source.get()
  asked[1]?.give()
  assert.equal((await second).text, 'token-2')
  assert.ok(source.drop(old))
  assert.equal((await source.get()).text, 'token-2')
  assert.equal(asked.length, 2)
})

test('a token that lives shorter than the margin is still used for most of its life', async () => {
  const { time, asked, source } = stand(60_000)
  const first = source.get()
  asked[0]?.give()
  await first
  time.nowMs += 44_000
  await source.get()
  assert.equal(asked.length, 1)
  time.nowMs += 1_000
  await source.get()
  assert.equal(asked.length, 2)
})
