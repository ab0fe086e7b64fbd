import type { Json, JsonObject } from '../../kernel/index.ts'

export interface Fault {
  readonly param: string
  readonly problem: string
}

/**
 * Gathers what a translation has to confess: members left behind, and the first thing it must not do without asking.
 * Handed down, so that no reader of a nested value has to return both a value and a list.
 */
export class Notes {
  private readonly left: Set<string>
  private found: Fault | null = null

  constructor(left: readonly string[] = []) {
    this.left = new Set(left)
  }

  /** @param path without indexes (`input[].phase`): a long conversation names each member once */
  drop(path: string): void {
    this.left.add(path)
  }

  /** @param param with indexes: the caller has to find the place */
  refuse(param: string, problem: string): null {
    this.found ??= { param, problem }
    return null
  }

  /** Lists members that nobody reads; what is null, false or empty asks for nothing. */
  dropUnread(object: JsonObject, read: ReadonlySet<string>, path: string): void {
    for (const [name, value] of Object.entries(object))
      if (!read.has(name) && !isIdle(value)) this.drop(`${path}${name}`)
  }

  get fault(): Fault | null {
    return this.found
  }

  get dropped(): readonly string[] {
    return [...this.left]
  }
}

function isIdle(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
