import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { test } from 'node:test'
import { testDatabase } from '../../test/database.ts'
import { listen } from './index.ts'

const LISTENERS = `select pid from pg_stat_activity where datname = current_database() and query like 'listen %'`

test('what is notified arrives, and every (re)connection reports a gap once it listens again', async (t) => {
  const { database } = await testDatabase(t, { migrated: false })
  const heard = new EventEmitter()
  const gap = () => once(heard, 'gap', { signal: AbortSignal.timeout(10_000) })
  const first = gap()
  const listener = listen(database, ['prices', 'Odd "name'], {
    onNotify: (channel, payload) => heard.emit('notify', channel, payload),
    onGap: () => heard.emit('gap'),
  })
  t.after(() => listener.close())
  await first

  const notified = once(heard, 'notify')
  await database.query(`select pg_notify('prices', 'v2')`)
  assert.deepEqual(await notified, ['prices', 'v2'])

  const again = gap()
  const killed = await database.query(`select pg_terminate_backend(pid) from (${LISTENERS}) as l`)
  assert.equal(killed.length, 1)
  await again

  const odd = once(heard, 'notify')
  await database.query(`select pg_notify('Odd "name', 'v3')`)
  assert.deepEqual(await odd, ['Odd "name', 'v3'])
})

test('a handler that throws does not end the listening', async (t) => {
  const { database } = await testDatabase(t, { migrated: false })
  const heard = new EventEmitter()
  const ready = once(heard, 'gap')
  const listener = listen(database, ['c'], {
    onNotify: (_, payload) => {
      heard.emit('notify', payload)
      throw new Error('handler')
    },
    onGap: () => {
      heard.emit('gap')
      throw new Error('handler')
    },
  })
  await ready
  for (const payload of ['1', '2']) {
    const notified = once(heard, 'notify')
    await database.query(`select pg_notify('c', $1)`, [payload])
    assert.deepEqual(await notified, [payload])
  }
  await listener.close()
  assert.deepEqual(await database.query(LISTENERS), [])
})
