import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../kernel/index.ts'

/** Work that is done again and again until the process ends. */
export interface Turns {
  /** Does not wait for the rest of the pause. */
  wake(): void
  /** Resolves when the turn under way has ended. */
  close(): Promise<void>
}

const RETRY_LAST_MS = 60_000

/** @param turn answers whether there is more to do at once; what it throws is logged, and it is tried again later */
export function startTurns(
  name: string,
  everyMs: number,
  log: Log,
  turn: (signal: AbortSignal) => Promise<boolean>,
): Turns {
  const stop = new AbortController()
  let pause = new AbortController()
  let failures = 0

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      let again = false
      pause = new AbortController()
      try {
        again = await turn(stop.signal)
        failures = 0
      } catch (thrown) {
        failures++
        if (!stop.signal.aborted)
          log.warn({ worker: name, error: errorText(thrown) }, 'a turn of a worker failed')
      }
      if (again) continue
      const waitMs = Math.min(everyMs * 2 ** Math.min(failures, 6), Math.max(everyMs, RETRY_LAST_MS))
      await sleep(waitMs, undefined, { signal: AbortSignal.any([stop.signal, pause.signal]) }).catch(
        () => undefined,
      )
    }
  }

  const running = run()
  return {
    wake: () => pause.abort(),
    async close() {
      stop.abort()
      await running
    },
  }
}
