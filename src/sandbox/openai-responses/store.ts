import { isObject, type JsonObject } from '../../kernel/index.ts'
import { textAt } from '../members.ts'

export interface StoredResponse {
  readonly id: string
  /** The whole conversation up to this response's answer. */
  readonly input: readonly JsonObject[]
  readonly output: readonly JsonObject[]
  /** The body a retrieval gives. */
  readonly body: string
  /** Null unless it ran in the background and nobody has looked since; then what cancelling makes of it. */
  cancelled: string | null
  state: 'running' | 'done' | 'cancelled'
}

const KEPT_MAX = 1000

/** Responses of this process, the newest thousand. */
export class ResponseStore {
  #kept = new Map<string, StoredResponse>()

  keep(response: StoredResponse): void {
    this.#kept.set(response.id, response)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) return
      this.#kept.delete(oldest)
    }
  }

  get(id: string): StoredResponse | undefined {
    return this.#kept.get(id)
  }

  delete(id: string): boolean {
    return this.#kept.delete(id)
  }

  /** An item of any stored response, by its own id. */
  item(id: string): JsonObject | undefined {
    for (const { output, input } of this.#kept.values()) {
      const found = [...output, ...input].find((item) => textAt(item, 'id') === id)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Puts the items in the place of references to them. @returns the first id that is not known */
  resolve(items: readonly JsonObject[]): readonly JsonObject[] | string {
    const out: JsonObject[] = []
    for (const item of items) {
      const id = textAt(item, 'id')
      const found = item['type'] === 'item_reference' ? this.item(id) : item
      if (!isObject(found)) return id
      out.push(found)
    }
    return out
  }
}
