import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log, silentLog } from '../kernel/index.ts'
import type { DedicatedConnection } from './connection.ts'
import type { Database } from './pool.ts'

export interface ListenHandlers {
  onNotify(channel: string, payload: string): void
  /**
   * Notifications may have been missed: flush what they keep fresh. Called after every (re)connection, the first one
   * included, when the channels are already listened to.
   */
  onGap(): void
  readonly log?: Log
}

export interface Listener {
  close(): Promise<void>
}

const RETRY_FIRST_MS = 50
const RETRY_LAST_MS = 2_000
/** A passive connection notices a silently dead peer only by asking; a cache may be stale that long. */
const HEARTBEAT_MS = 10_000

/** Listens on channels over a connection of its own until `close()`; a lost connection is made again. */
export function listen(database: Database, channels: readonly string[], handlers: ListenHandlers): Listener {
  const log = handlers.log ?? silentLog
  const stop = new AbortController()
  let current: DedicatedConnection | null = null

  function guarded(call: () => void): void {
    try {
      call()
    } catch (thrown) {
      log.error({ error: errorText(thrown) }, 'a notification handler threw')
    }
  }

  async function subscribe(connection: DedicatedConnection): Promise<void> {
    connection.onNotification((channel, payload) => guarded(() => handlers.onNotify(channel, payload)))
    for (const channel of channels) await connection.query(`listen ${quoted(channel)}`)
    guarded(() => handlers.onGap())
  }

  /** Resolves when the connection is lost or close() was called. */
  async function hold(connection: DedicatedConnection): Promise<void> {
    const gone = Promise.withResolvers<void>()
    connection.onLost((cause) => {
      log.warn({ error: errorText(cause) }, 'the notification connection was lost')
      gone.resolve()
    })
    const onStop = (): void => gone.resolve()
    stop.signal.addEventListener('abort', onStop)
    if (stop.signal.aborted) onStop()
    // A failed beat makes the connection lost, which is all that is wanted of it.
    const beat = setInterval(() => void connection.query('select 1').catch(() => undefined), HEARTBEAT_MS)
    await gone.promise
    clearInterval(beat)
    stop.signal.removeEventListener('abort', onStop)
  }

  async function run(): Promise<void> {
    let waitMs = RETRY_FIRST_MS
    while (!stop.signal.aborted) {
      try {
        current = await database.connect()
        await subscribe(current)
        waitMs = RETRY_FIRST_MS
        await hold(current)
      } catch (thrown) {
        log.warn({ error: errorText(thrown), waitMs }, 'cannot listen for notifications; trying again')
      }
      await current?.close().catch(() => undefined)
      current = null
      await sleep(waitMs, undefined, { signal: stop.signal }).catch(() => undefined)
      waitMs = Math.min(waitMs * 2, RETRY_LAST_MS)
    }
  }

  const running = run()
  return {
    async close() {
      stop.abort()
      await running
    },
  }
}

function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}
