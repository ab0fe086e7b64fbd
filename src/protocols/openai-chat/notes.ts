import type { Json, JsonObject } from '../../kernel/index.ts'

export interface Fault {
  readonly param: string
  readonly problem: string
}

/**
 * What a translation has to say beside its result: members left out, and the first one that could not be left out
 * without changing what was asked for. Collected, so that the code that walks a message need not return them.
 */
export class Notes {
  private readonly paths: Set<string>
  private first: Fault | null = null

  constructor(dropped: readonly string[] = []) {
    this.paths = new Set(dropped)
  }

  /** @param path without indexes, so that a long conversation names a member once: `messages[].name` */
  drop(path: string): void {
    this.paths.add(path)
  }

  /** @param param with indexes: the caller has to find it */
  refuse(param: string, problem: string): void {
    this.first ??= { param, problem }
  }

  /** Lists the members that nobody read; null, false and empty values ask for nothing and are not missed. */
  dropUnread(object: JsonObject, read: ReadonlySet<string>, path: string): void {
    for (const [name, value] of Object.entries(object))
      if (!read.has(name) && !asksNothing(value)) this.drop(path + name)
  }

  get fault(): Fault | null {
    return this.first
  }

  get dropped(): readonly string[] {
    return [...this.paths]
  }
}

export function asksNothing(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
