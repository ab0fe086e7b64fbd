import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, silentLog } from '../kernel/index.ts'
import { createKeyCache } from './key-cache.ts'
import type { ApiKeyRecord } from './records.ts'

function turnableClock(): Clock & { ms: number } {
  return {
    ms: 1_000_000,
    nowMs() {
      return this.ms
    },
    monotonicMs() {
      return this.ms
    },
  }
}

function record(id: string, more: Partial<ApiKeyRecord> = {}): ApiKeyRecord {
  return Object.freeze({
    id,
    orgId: 'org',
    orgName: 'Org',
    projectId: 'project',
    projectName: 'Project',
    projectState: 'active',
    replaysUnkeyedRetries: false,
    label: '',
    prefix: 'sk-tf-0000',
    secretId: 'secret',
    policy: 'ordinary_then_official',
    allowCrossBalance: false,
    models: null,
    routes: null,
    buckets: null,
    maxCharge: null,
    networks: null,
    maxAttempts: null,
    state: 'active',
    expiresAtMs: null,
    ...more,
  } as const)
}

test('unknown keys are asked of the database once, and take bounded room', async () => {
  const clock = turnableClock()
  let asked = 0
  const cache = createKeyCache({
    clock,
    log: silentLog,
    unknownMax: 100,
    unknownForMs: 5_000,
    lookUp: async () => {
      asked++
      return null
    },
  })
  assert.equal(cache.known('a'), undefined)
  await Promise.all([cache.load('a'), cache.load('a')])
  assert.equal(asked, 1)
  assert.equal(cache.known('a'), null)
  for (let i = 0; i < 1_000; i++) await cache.load(`other ${i}`)
  assert.equal(cache.unknownCount, 100)
  assert.equal(cache.known('other 999'), null)
  clock.ms += 5_001
  assert.equal(cache.known('other 999'), undefined)
})

test('known keys take bounded room', async () => {
  const cache = createKeyCache({
    clock: turnableClock(),
    log: silentLog,
    knownMax: 10,
    lookUp: async (digest) => record(digest),
  })
  for (let i = 0; i < 50; i++) await cache.load(`key ${i}`)
  assert.equal(cache.knownCount, 10)
  assert.equal(cache.known('key 49')?.id, 'key 49')
})

test('an answer that was asked for before a change is not kept, nor given to those who ask after it', async () => {
  const answers = [Promise.withResolvers<ApiKeyRecord>(), Promise.withResolvers<ApiKeyRecord>()]
  let asked = 0
  const cache = createKeyCache({
    clock: turnableClock(),
    log: silentLog,
    lookUp: () => answers[asked++]?.promise ?? Promise.reject(new Error('asked too often')),
  })
  const before = cache.load('digest')
  cache.dropKey('k')
  const after = cache.load('digest')
  answers[1]?.resolve(record('k', { state: 'revoked' }))
  assert.equal((await after)?.state, 'revoked')
  answers[0]?.resolve(record('k'))
  assert.equal((await before)?.state, 'active')
  assert.equal(cache.known('digest')?.state, 'revoked')
})

test('expiry is judged at each use, in memory as well', async () => {
  const clock = turnableClock()
  const cache = createKeyCache({
    clock,
    log: silentLog,
    refreshAfterMs: 1e9,
    lookUp: async () => record('k', { expiresAtMs: clock.ms + 1_000 }),
  })
  assert.equal((await cache.load('digest'))?.state, 'active')
  clock.ms += 999
  assert.equal(cache.known('digest')?.state, 'active')
  clock.ms += 1
  assert.equal(cache.known('digest')?.state, 'expired')
  assert.equal((await cache.load('digest'))?.state, 'active', 'the look-up of this test sets a new expiry')
})

test('a key that was read long ago is read again behind the request, so that a lost notification does not last', async () => {
  const clock = turnableClock()
  let state: 'active' | 'revoked' = 'active'
  const read = Promise.withResolvers<void>()
  let asked = 0
  const cache = createKeyCache({
    clock,
    log: silentLog,
    refreshAfterMs: 60_000,
    lookUp: async () => {
      if (++asked === 2) setImmediate(read.resolve)
      return record('k', { state })
    },
  })
  await cache.load('digest')
  state = 'revoked'
  clock.ms += 60_000
  assert.equal(cache.known('digest')?.state, 'active')
  await read.promise
  assert.equal(cache.known('digest')?.state, 'revoked')
  assert.equal(asked, 2)
})
