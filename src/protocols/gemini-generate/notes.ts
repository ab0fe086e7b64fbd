import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { camelName } from './fields.ts'

/**
 * What a translation leaves out, and the first thing that it may not leave out: gathered on the way, so that the code
 * that walks a conversation hands back nothing but the conversation.
 */
export class Notes {
  private readonly paths = new Set<string>()
  private refusal: { readonly param: string; readonly problem: string } | null = null

  /** @param path without positions, so that a long conversation names a member once */
  drop(path: string): void {
    this.paths.add(path)
  }

  /** @param param with positions: the caller has to find it */
  refuse(param: string, problem: string): void {
    this.refusal ??= { param, problem }
  }

  /** Lists members that nobody reads, in either spelling; null, false and empty ones ask for nothing. */
  dropRest(object: JsonObject, known: ReadonlySet<string>, path: string): void {
    for (const [name, value] of Object.entries(object))
      if (!known.has(camelName(name)) && !isIdle(value)) this.drop(`${path}${name}`)
  }

  get fault(): { readonly param: string; readonly problem: string } | null {
    return this.refusal
  }

  get dropped(): readonly string[] {
    return [...this.paths]
  }
}

function isIdle(value: Json): boolean {
  if (value === null || value === false || value === '') return true
  return isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0
}
