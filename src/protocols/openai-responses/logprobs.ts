import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { TokenLogprob } from '../neutral.ts'

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
  if (!isArray(value)) return []
  return value.flatMap((member) => {
    const entry = readEntry(member)
    if (entry === null) return []
    const top = isObject(member) ? member['top_logprobs'] : undefined
    return [{ ...entry, top: isArray(top) ? top.map(readEntry).filter((found) => found !== null) : [] }]
  })
}

const writeEntry = ({ token, logprob, bytes }: Entry): JsonObject => ({ token, logprob, bytes: bytes ?? [] })

export function writeLogprobs(tokens: readonly TokenLogprob[] | undefined): readonly JsonObject[] {
  return (tokens ?? []).map((token) => ({ ...writeEntry(token), top_logprobs: token.top.map(writeEntry) }))
}
