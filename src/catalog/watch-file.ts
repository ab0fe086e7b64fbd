import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../kernel/index.ts'

export interface WatchOptions {
  /** Runs after the file has become another one, one call at a time. */
  readonly onChange: () => Promise<void>
  readonly log: Log
  /** For file systems that report nothing (network mounts, some containers). */
  readonly pollMs: number
  /** An editor writes a file in several steps; they are one change once nothing has changed for so long. */
  readonly debounceMs: number
}

export interface FileWatch {
  /** Resolves when no call of `onChange` is running any more. */
  close(): Promise<void>
}

/**
 * Watches the directory, not the file: editors and configuration mounts replace the file by a rename, and a watch on
 * the old one would see nothing ever again. Never keeps the process alive.
 */
export async function watchFile(path: string, options: WatchOptions): Promise<FileWatch> {
  const { onChange, log, pollMs, debounceMs } = options
  let last = await signature(path)
  let closed = false
  let running: Promise<void> | null = null
  let again = false
  let debounce: NodeJS.Timeout | null = null

  const handle = async (now: string): Promise<void> => {
    last = now
    await onChange().catch((thrown: unknown) =>
      log.error({ error: errorText(thrown) }, 'a change of the configuration file could not be handled'),
    )
  }
  const check = async (): Promise<void> => {
    do {
      again = false
      const now = await signature(path)
      if (closed || now === last) continue
      await sleep(debounceMs)
      // Still being written: half a file may be valid, and say something else. Other files of the folder do not count.
      if (now !== (await signature(path))) again = true
      else if (!closed) await handle(now)
    } while (again && !closed)
  }
  const start = (): void => {
    if (closed) return
    // A change during a run is looked at after it, since the run may have read the file before it.
    again = true
    running ??= check().finally(() => {
      running = null
    })
  }
  const poll = setInterval(start, pollMs).unref()
  const watcher = openWatcher(dirname(path), log, () => {
    if (closed || debounce !== null) return
    debounce = setTimeout(() => {
      debounce = null
      start()
    }, debounceMs).unref()
  })
  return {
    async close() {
      closed = true
      clearInterval(poll)
      if (debounce !== null) clearTimeout(debounce)
      watcher?.close()
      await running
    },
  }
}

/** @returns null when the directory cannot be watched; polling goes on without. */
function openWatcher(directory: string, log: Log, onEvent: () => void): FSWatcher | null {
  const without = (thrown: unknown): void =>
    log.debug({ error: errorText(thrown) }, 'the configuration file is polled only')
  try {
    const watcher = watch(directory, { persistent: false }, onEvent)
    watcher.on('error', (thrown) => {
      without(thrown)
      watcher.close()
    })
    return watcher
  } catch (thrown) {
    without(thrown)
    return null
  }
}

/** Changes whenever the file's content may have changed; nanoseconds, since two writes fit into a millisecond. */
async function signature(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return [ino, size, mtimeNs, ctimeNs].join(':')
  } catch {
    return 'missing'
  }
}
