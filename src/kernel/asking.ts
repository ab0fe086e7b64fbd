/**
 * Questions to the database whose answers are remembered. Askers of one key share one question, and a question that was
 * asked before a change answers those who asked it and nobody else: its answer is not kept, nor given to who asks later.
 */
export interface Asking<T> {
  ask(key: string): Promise<T>
  /** Something changed: what is under way may have been read before. */
  distrust(): void
}

/** @param keep called with each answer that may be remembered */
export function createAsking<T>(
  read: (key: string) => Promise<T>,
  keep: (key: string, value: T) => void,
): Asking<T> {
  let underWay = new Map<string, Promise<T>>()
  let epoch = 0

  async function answer(key: string): Promise<T> {
    const asked = epoch
    const value = await read(key)
    if (asked === epoch) keep(key, value)
    return value
  }

  return {
    ask(key) {
      const shared = underWay.get(key)
      if (shared !== undefined) return shared
      const mine = underWay
      const asked = answer(key).finally(() => mine.delete(key))
      mine.set(key, asked)
      return asked
    },
    distrust() {
      epoch++
      if (underWay.size > 0) underWay = new Map()
    },
  }
}

/** Goes on with an answer: at once where it is there already, so that for what is remembered no promise is made. */
export function andThen<T, U>(answer: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return answer instanceof Promise ? answer.then(next) : next(answer)
}
