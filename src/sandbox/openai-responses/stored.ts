import { plainOperation, type SandboxOperation, wholeAnswer } from '../protocol.ts'
import { problemJson } from './problems.ts'
import type { ResponseStore, StoredResponse } from './store.ts'

/** What can be done with a response by its id. @param rest the path after `/responses/` */
export function storedOperation(method: string, rest: string, store: ResponseStore): SandboxOperation | null {
  const [id = '', action, ...more] = rest.split('/')
  if (id === '' || more.length > 0) return null
  if (method === 'GET' && action === undefined) return withStored(id, store, retrieve)
  if (method === 'GET' && action === 'input_items') return withStored(id, store, listInput)
  if (method === 'POST' && action === 'cancel') return withStored(id, store, cancel)
  if (method !== 'DELETE' || action !== undefined) return null
  return withStored(id, store, () => {
    store.delete(id)
    return [200, JSON.stringify({ id, object: 'response', deleted: true })]
  })
}

type Outcome = readonly [status: number, body: string]

function withStored(
  id: string,
  store: ResponseStore,
  act: (response: StoredResponse) => Outcome,
): SandboxOperation {
  return plainOperation(() => {
    const response = store.get(id)
    if (response !== undefined) return wholeAnswer(...act(response))
    const message = `Response with id '${id}' not found.`
    return wholeAnswer(404, problemJson({ status: 404, message, param: null, code: null }))
  })
}

/** A response in the background is done by the time somebody looks. */
function retrieve(response: StoredResponse): Outcome {
  if (response.state === 'cancelled') return [200, response.cancelled ?? response.body]
  response.state = 'done'
  return [200, response.body]
}

function cancel(response: StoredResponse): Outcome {
  if (response.cancelled === null) {
    const message = 'Only a response that was created with background=true can be cancelled.'
    return [400, problemJson({ status: 400, message, param: null, code: null })]
  }
  if (response.state === 'running') response.state = 'cancelled'
  return [200, response.state === 'cancelled' ? response.cancelled : response.body]
}

function listInput({ input }: StoredResponse): Outcome {
  const data = input.map((item, index) => ({ id: `item_${index}`, ...item }))
  const first_id = data.at(0)?.id ?? null
  const last_id = data.at(-1)?.id ?? null
  return [200, JSON.stringify({ object: 'list', data, first_id, last_id, has_more: false })]
}
