import type { Switches } from './switches.ts'

export interface StreamEnd {
  /** The frames of an error in mid-stream. `sent` frames went before it. */
  error(sent: number): Iterable<string>
  /** The frame that closes the stream in good order, left out by `no-done`; null where a format has none. */
  done(): string | null
  /** Whether `done` also follows an error. */
  readonly doneAfterError: boolean
}

/** Lays the switches over a stream that break it off: `end-early`, `error-event`, `error-first`, `no-done`. */
export function* withStreamFaults(
  frames: Iterable<string>,
  { flags, counts }: Switches,
  end: StreamEnd,
): Generator<string> {
  const failAfter = flags.has('error-first') ? 0 : counts['error-event']
  const endAfter = counts['end-early']
  let sent = 0
  for (const frame of frames) {
    if (sent === endAfter) return
    if (sent === failAfter) break
    yield frame
    sent += 1
  }
  if (failAfter !== undefined) yield* end.error(sent)
  if (flags.has('no-done') || (failAfter !== undefined && !end.doneAfterError)) return
  const done = end.done()
  if (done !== null) yield done
}

/** Without a stream the same two switches make the error the whole body of a 200, as relays send it. */
export function failsInBody({ flags, counts }: Switches): boolean {
  return flags.has('error-first') || counts['error-event'] !== undefined
}

const LETTERS = 'kV3mZr8TqLx0YwNf5HcBj2DsGp7UaJe9RbKt4XvQn6MhWzCy1LgFdPi'

/** Padding of changing length, as OpenAI adds it to hide the lengths of tokens. */
export function createPadding(start: number): () => string {
  let at = start
  return () => {
    at = (at * 7 + 3) % 38
    return LETTERS.slice(at, at + 3 + (at % 14))
  }
}
