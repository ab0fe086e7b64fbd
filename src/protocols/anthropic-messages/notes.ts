import type { Json } from '../../kernel/index.ts'

/** What cannot be left out and cannot be carried. Thrown inside this folder only; its entries return it as a value. */
export class Refusal extends Error {
  readonly param: string
  readonly problem: string

  /** @param param with indexes: the caller has to find it */
  constructor(param: string, problem: string) {
    super(`${param}: ${problem}`)
    this.param = param
    this.problem = problem
  }
}

export interface Refused {
  readonly ok: false
  readonly param: string
  readonly problem: string
}

/** @returns what `work` returns, or the refusal that it threw */
export function refusable<T>(work: () => T): T | Refused {
  try {
    return work()
  } catch (thrown) {
    if (thrown instanceof Refusal) return { ok: false, param: thrown.param, problem: thrown.problem }
    throw thrown
  }
}

/** What asks for nothing is not missed when it is left out. */
export function asksNothing(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** What a translation has to say beside its result. */
export class Notes {
  private readonly paths: Set<string>
  /** Names of calls by id: results of other formats name the tool too. */
  readonly callNames = new Map<string, string>()

  constructor(dropped: readonly string[] = []) {
    this.paths = new Set(dropped)
  }

  /** Indexes are taken out of the path, so that a long conversation names a member once: `messages[].name`. */
  drop(path: string): void {
    this.paths.add(path.replace(/\[\d+\]/g, '[]'))
  }

  get dropped(): readonly string[] {
    return [...this.paths]
  }
}
