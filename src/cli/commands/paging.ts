import type { Query } from '../../client/index.ts'
import { type Flags, textFlag } from '../command.ts'

export const PAGE_OPTIONS = { limit: { type: 'string' }, cursor: { type: 'string' } } as const
export const PAGE_EXPLAIN = { limit: 'rows, at most 200 (20)', cursor: 'the page after this one' } as const

export function pageQuery(flags: Flags): Query {
  return { limit: textFlag(flags, 'limit'), cursor: textFlag(flags, 'cursor') }
}
