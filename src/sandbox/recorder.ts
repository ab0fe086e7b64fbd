import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

import type { Json } from '../kernel/index.ts'

/** What a test may ask about one request the sandbox received. The object is alive: fields fill as the request goes on. */
export interface RecordedRequest {
  readonly method: string
  /** As received, with switches and query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Empty until the body is read, and always empty without `record: true`. */
  readonly bodyText: string
  /** Undefined where `bodyText` is empty or no JSON. */
  readonly body: Json | undefined
  /** The status sent; 0 while none is. */
  readonly status: number
  /** Stream events handed to the socket so far. */
  readonly eventsSent: number
  /** The caller left before the answer was complete. Stays false where a fault switch broke the answer off. */
  readonly closedEarly: boolean
  /** Settles when the answer is complete or the connection gone, whichever comes first. */
  readonly finished: Promise<void>
}

export interface SandboxRecorder {
  /** Oldest first, at most the newest 1000. */
  all(): readonly RecordedRequest[]
  /** Requests received since the start, also those that have fallen out of `all()`. */
  readonly count: number
  clear(): void
  /**
   * The first request, already received or still to come, for which `predicate` holds. It is asked again whenever a
   * request arrives, has its body, or ends.
   * @throws when none is found within `timeoutMs`, or the sandbox closes
   */
  waitFor(
    predicate: (request: RecordedRequest) => boolean,
    options?: { readonly timeoutMs?: number },
  ): Promise<RecordedRequest>
}

export class OpenRecord implements RecordedRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly finished: Promise<void>
  readonly finish: () => void
  bodyText = ''
  body: Json | undefined = undefined
  status = 0
  eventsSent = 0
  closedEarly = false
  /** Set where we break the connection ourselves, so that it does not count as the caller leaving. */
  brokenByUs = false

  constructor(req: IncomingMessage) {
    this.method = req.method ?? ''
    this.path = req.url ?? ''
    this.headers = req.headers
    const { promise, resolve } = Promise.withResolvers<void>()
    this.finished = promise
    this.finish = resolve
  }
}

const KEPT_MAX = 1000
const WAIT_MS = 5000

interface Waiter {
  look(request: RecordedRequest): void
  fail(reason: string): void
}

export class Recorder implements SandboxRecorder {
  #kept: RecordedRequest[] = []
  #next = 0
  /** Null once the sandbox is closed. */
  #waiters: Set<Waiter> | null = new Set()
  count = 0

  all(): readonly RecordedRequest[] {
    return [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)]
  }

  clear(): void {
    this.#kept = []
    this.#next = 0
  }

  open(req: IncomingMessage): OpenRecord {
    const record = new OpenRecord(req)
    this.count += 1
    if (this.#kept.length < KEPT_MAX) this.#kept.push(record)
    else {
      this.#kept[this.#next] = record
      this.#next = (this.#next + 1) % KEPT_MAX
    }
    this.changed(record)
    return record
  }

  changed(record: RecordedRequest): void {
    for (const waiter of this.#waiters ?? []) waiter.look(record)
  }

  close(): void {
    for (const waiter of this.#waiters ?? []) waiter.fail('the sandbox closed')
    this.#waiters = null
  }

  waitFor(
    predicate: (request: RecordedRequest) => boolean,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<RecordedRequest> {
    const found = this.all().find(predicate)
    if (found !== undefined) return Promise.resolve(found)
    const waiters = this.#waiters
    if (waiters === null) return Promise.reject(new Error('the sandbox closed'))
    const timeoutMs = options.timeoutMs ?? WAIT_MS
    const { promise, resolve, reject } = Promise.withResolvers<RecordedRequest>()
    const end = (): void => {
      clearTimeout(timer)
      waiters.delete(waiter)
    }
    const waiter: Waiter = {
      look(request) {
        if (!predicate(request)) return
        end()
        resolve(request)
      },
      fail(reason) {
        end()
        reject(new Error(`no such request reached the sandbox: ${reason}`))
      },
    }
    const timer = setTimeout(() => waiter.fail(`waited ${timeoutMs} ms`), timeoutMs)
    waiters.add(waiter)
    return promise
  }
}
