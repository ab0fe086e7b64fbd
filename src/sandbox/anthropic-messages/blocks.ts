import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { objectAt, textAt } from '../members.ts'

export type Ttl = '5m' | '1h'

/** One content block of a request, read for what the sandbox needs of it. */
export interface Block {
  readonly type: string
  /** Tokens are counted in it and prefixes compared by it. */
  readonly counted: string
  /** Media types of the images and documents in it. */
  readonly media: readonly string[]
  readonly ttl: Ttl | null
}

export function readBlocks(content: Json | undefined): readonly Block[] {
  if (typeof content === 'string') return [{ type: 'text', counted: content, media: [], ttl: null }]
  return isArray(content) ? content.filter(isObject).map(readBlock) : []
}

export function ttlOf(block: JsonObject): Ttl | null {
  const control = block['cache_control']
  if (!isObject(control)) return null
  return control['ttl'] === '1h' ? '1h' : '5m'
}

function readBlock(block: JsonObject): Block {
  const type = textAt(block, 'type')
  return { type, ttl: ttlOf(block), ...contentOf(type, block) }
}

function contentOf(type: string, block: JsonObject): Pick<Block, 'counted' | 'media'> {
  switch (type) {
    case 'text':
      return { counted: textAt(block, 'text'), media: [] }
    case 'image':
    case 'document':
      return sourceOf(objectAt(block, 'source'))
    case 'thinking':
      return { counted: textAt(block, 'thinking'), media: [] }
    case 'redacted_thinking':
      return { counted: '', media: [] }
    case 'tool_use':
      return { counted: JSON.stringify({ name: block['name'], input: block['input'] }), media: [] }
    case 'tool_result': {
      const inner = readBlocks(block['content'])
      return {
        counted: inner.map((one) => one.counted).join('\n'),
        media: inner.flatMap((one) => one.media),
      }
    }
    default: {
      const { cache_control: _, ...rest } = block
      return { counted: JSON.stringify(rest), media: [] }
    }
  }
}

function sourceOf(source: JsonObject): Pick<Block, 'counted' | 'media'> {
  switch (source['type']) {
    case 'base64':
      return { counted: '', media: [textAt(source, 'media_type')] }
    // A document may be plain text, or blocks.
    case 'text':
      return { counted: textAt(source, 'data'), media: [] }
    case 'content': {
      const inner = readBlocks(source['content'])
      return { counted: inner.map((one) => one.counted).join('\n'), media: inner.flatMap((one) => one.media) }
    }
    default:
      return { counted: '', media: ['a link'] }
  }
}
