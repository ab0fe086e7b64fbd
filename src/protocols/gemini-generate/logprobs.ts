import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { TokenLogprob } from '../neutral.ts'
import { objectsOf } from './fields.ts'

/** `logprobsResult`: the tokens taken in one list, the likeliest at each place in another. Bytes of tokens are not told. */

type Likely = TokenLogprob['top'][number]

function readOne(entry: JsonObject): Likely {
  const { token, logProbability } = entry
  return {
    token: typeof token === 'string' ? token : '',
    logprob: typeof logProbability === 'number' ? logProbability : 0,
    bytes: null,
  }
}

/** @returns an empty list for none */
export function readLogprobs(result: Json | undefined): readonly TokenLogprob[] {
  if (!isObject(result)) return []
  const tops = objectsOf(result['topCandidates'])
  return objectsOf(result['chosenCandidates']).map((chosen, at) => ({
    ...readOne(chosen),
    top: objectsOf(tops[at]?.['candidates']).map(readOne),
  }))
}

const writeOne = ({ token, logprob }: Likely): JsonObject => ({ token, logProbability: logprob })

export function writeLogprobs(logprobs: readonly TokenLogprob[] | undefined): JsonObject {
  if (logprobs === undefined || logprobs.length === 0) return {}
  return {
    logprobsResult: {
      chosenCandidates: logprobs.map(writeOne),
      topCandidates: logprobs.map(({ top }) => ({ candidates: top.map(writeOne) })),
    },
  }
}
