import { createHash } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Mutual exclusion between processes of one machine, kept by the kernel: a name in the abstract socket space belongs
 * to one process and is free the moment it dies, by whatever signal. A lock file would have to guess whether its
 * owner lives, and pids are used again, in containers at once.
 */

export interface StartLock {
  release(): Promise<void>
}

/** Waits until the name is ours; rejects after `timeoutMs`. */
export async function acquireStartLock(name: string, timeoutMs: number): Promise<StartLock> {
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 32)
  const path = `\0tokens-forge-${digest}`
  const expiry = AbortSignal.timeout(timeoutMs)
  for (;;) {
    const lock = await tryAcquire(path)
    if (lock !== null) return lock
    if (expiry.aborted)
      throw new Error('another process keeps preparing the database; giving up waiting for it')
    await ownerGone(path, expiry)
    // All who waited are woken at once; a moment apart they do not spin against the winner.
    await sleep(5)
  }
}

async function tryAcquire(path: string): Promise<StartLock | null> {
  const waiting = new Set<Socket>()
  const server = createServer((socket) => {
    waiting.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => waiting.delete(socket))
  })
  // `exclusive`, since in a cluster worker the primary would share one handle with all of them: no lock at all.
  const bound = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen({ path, exclusive: true }, () => resolve(true))
  })
  return bound ? { release: () => close(server, waiting) } : null
}

function close(server: Server, waiting: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const socket of waiting) socket.destroy()
  })
}

/** Resolves when the owner released the lock or died. */
function ownerGone(path: string, expiry: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    const done = (): void => {
      expiry.removeEventListener('abort', done)
      socket.destroy()
      resolve()
    }
    expiry.addEventListener('abort', done)
    socket.on('error', done)
    socket.on('close', done)
    socket.resume()
  })
}
