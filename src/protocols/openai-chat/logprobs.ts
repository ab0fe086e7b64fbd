import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { TokenLogprob } from '../neutral.ts'

/** `choices[].logprobs` of answers and chunks, both ways; of a refusal's tokens there is nothing to carry. */

type Entry = TokenLogprob['top'][number]

function readEntry(value: Json): Entry | null {
  if (!isObject(value)) return null
  const { token, logprob, bytes } = value
  if (typeof token !== 'string' || typeof logprob !== 'number') return null
  const whole = isArray(bytes) && bytes.every((byte) => typeof byte === 'number')
  return { token, logprob, bytes: whole ? (bytes as readonly number[]) : null }
}

/** @returns an empty list when there are none */
export function readLogprobs(value: Json | undefined): readonly TokenLogprob[] {
  const content = isObject(value) ? value['content'] : undefined
  if (!isArray(content)) return []
  const tokens: TokenLogprob[] = []
  for (const member of content) {
    const entry = readEntry(member)
    if (entry === null) continue
    const top = isObject(member) && isArray(member['top_logprobs']) ? member['top_logprobs'] : []
    tokens.push({ ...entry, top: top.map(readEntry).filter((found) => found !== null) })
  }
  return tokens
}

const writeEntry = ({ token, logprob, bytes }: Entry): JsonObject => ({ token, logprob, bytes })

export function writeLogprobs(tokens: readonly TokenLogprob[] | undefined): JsonObject | null {
  if (tokens === undefined || tokens.length === 0) return null
  return {
    content: tokens.map((token) => ({ ...writeEntry(token), top_logprobs: token.top.map(writeEntry) })),
    refusal: null,
  }
}
