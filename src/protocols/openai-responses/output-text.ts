import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'

/** What an output item delivers, as plain strings: for counting, not for showing. */

const STRINGS = ['text', 'refusal', 'arguments', 'input', 'name', 'code', 'output']
const LISTS = ['content', 'summary']
/** Media and what the provider sealed: output, but no words. */
const MEDIA = ['result', 'partial_image_b64']

export function outputTexts(item: Json | undefined): readonly string[] {
  if (!isObject(item)) return []
  const texts = STRINGS.map((name) => item[name]).filter((value) => typeof value === 'string' && value !== '')
  const nested = LISTS.flatMap((name) => {
    const list = item[name]
    return isArray(list) ? list.flatMap(outputTexts) : []
  })
  const { action } = item
  const done = isObject(action) ? [JSON.stringify(action)] : []
  return [...(texts as string[]), ...nested, ...done]
}

export function hasMedia(item: JsonObject): boolean {
  const filled = (name: string): boolean => typeof item[name] === 'string' && item[name] !== ''
  return MEDIA.some(filled) || (item['type'] === 'compaction' && filled('encrypted_content'))
}
