import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Dispatcher } from 'undici'
import { ReadBatch } from './read-batch.ts'

interface Stand {
  readonly batch: ReadBatch
  /** What the handler got, and what was asked of the connection, in order. */
  readonly told: string[]
  readonly controller: Dispatcher.DispatchController
}

/** @param pauseAt the handler pauses when it gets this text */
function stand(pauseAt?: string): Stand {
  const told: string[] = []
  const controller: Dispatcher.DispatchController = {
    aborted: false,
    paused: false,
    reason: null,
    abort: () => told.push('abort'),
    pause: () => told.push('pause'),
    resume: () => told.push('resume'),
  }
  const batch = new ReadBatch({
    onResponseData(own, chunk) {
      told.push(chunk.toString())
      if (chunk.toString() === pauseAt) own.pause()
    },
    onResponseEnd: () => told.push('end'),
    onResponseError: (_own, error) => told.push(error.message),
  })
  batch.onRequestStart(controller, null)
  return { batch, told, controller }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('chunks of one turn come as one, those of the next by themselves, and the end after them', async () => {
  const { batch, told, controller } = stand()
  for (const text of ['a', 'b', 'c']) batch.onResponseData(controller, Buffer.from(text))
  assert.deepEqual(told, [])
  await turn()
  batch.onResponseData(controller, Buffer.from('d'))
  batch.onResponseEnd(controller, {})
  assert.deepEqual(told, ['abc', 'd', 'end'])
  await turn()
  assert.deepEqual(told, ['abc', 'd', 'end'])
})

test('a batch does not grow past its bound', () => {
  const { batch, told, controller } = stand()
  for (let i = 0; i < 5; i++) batch.onResponseData(controller, Buffer.alloc(8 * 1024, 0x61))
  assert.deepEqual(
    told.map((text) => text.length),
    [16 * 1024, 16 * 1024],
  )
})

test('a handler that paused gets nothing, not even the end, until it resumes', async () => {
  const { batch, told, controller } = stand('a')
  batch.onResponseData(controller, Buffer.from('a'))
  await turn()
  batch.onResponseData(controller, Buffer.from('b'))
  batch.onResponseEnd(controller, {})
  await turn()
  assert.deepEqual(told, ['a', 'pause'])
  batch.resume()
  assert.deepEqual(told, ['a', 'pause', 'b', 'end'])
})

test('a broken connection is told after what came over it; nothing comes after an abort', async () => {
  const broken = stand()
  broken.batch.onResponseData(broken.controller, Buffer.from('a'))
  broken.batch.onResponseError(broken.controller, new Error('reset'))
  assert.deepEqual(broken.told, ['a', 'reset'])
  const aborted = stand()
  aborted.batch.onResponseData(aborted.controller, Buffer.from('a'))
  aborted.batch.abort(new Error('no more'))
  await turn()
  assert.deepEqual(aborted.told, ['abort'])
})
