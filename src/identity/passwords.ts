import { APIError } from 'better-auth/api'
import { hashPassword, verifyPassword } from 'better-auth/crypto'

/**
 * Passwords are hashed as the library does (scrypt, 32 MiB and some 50 ms each), a few at a time: the threads that hash are
 * those that look up host names and read files, and a flood of sign-ins must not take them all.
 */

const AT_ONCE = 2
const WAITING_MAX = 200

export function createTurns(atOnce: number, waitingMax: number) {
  const waiting: Array<() => void> = []
  let running = 0
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnce) {
      if (waiting.length >= waitingMax)
        throw new APIError('SERVICE_UNAVAILABLE', {
          code: 'OVERLOADED',
          message: 'Too many sign-ins at once. Try again in a moment.',
        })
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}

export function createPasswords() {
  const turn = createTurns(AT_ONCE, WAITING_MAX)
  return {
    hash: (password: string) => turn(() => hashPassword(password)),
    verify: (given: { hash: string; password: string }) => turn(() => verifyPassword(given)),
  }
}
