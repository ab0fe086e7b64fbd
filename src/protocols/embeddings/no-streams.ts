import type { StreamReader } from '../protocol.ts'

/** The stream side of formats that have no streams: never reached, since their requests never ask for one. */

function never(): never {
  throw new Error('embeddings have no streams')
}

export const noStreams = {
  createStreamEncoder: never,
  streamError: never,
  lengthEnding: never,
  createStreamReader: never as () => StreamReader,
  createStreamDecoder: never,
} as const
