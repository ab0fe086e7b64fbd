/** What agents put around a person's words: `<system-reminder>…`, `<environment_context>…`, `<system>…`. */

const TAG = /<(\/?)([a-z][\w-]*)>/g

interface Tag {
  readonly name: string
  readonly begin: number
  readonly end: number
}

/** The closing tags by name, in their order. */
function endingsOf(tags: readonly RegExpExecArray[]): Map<string, Tag[]> {
  const endings = new Map<string, Tag[]>()
  for (const { 0: whole, 1: slash, 2: name = '', index } of tags) {
    if (slash !== '/') continue
    const known = endings.get(name) ?? []
    known.push({ name, begin: index, end: index + whole.length })
    endings.set(name, known)
  }
  return endings
}

/**
 * Each element, from a tag to the first that closes it, becomes `instead`. In one walk: an expression for the whole would
 * read on to the end of the text at every tag that nothing closes.
 */
export function withoutWrapping(text: string, instead: string): string {
  const tags = [...text.matchAll(TAG)]
  const endings = endingsOf(tags)
  const next = new Map<string, number>()
  let rest = ''
  let from = 0
  for (const { 0: whole, 1: slash, 2: name = '', index } of tags) {
    if (slash === '/' || index < from) continue
    const known = endings.get(name) ?? []
    let place = next.get(name) ?? 0
    while (place < known.length && (known[place]?.begin ?? 0) < index + whole.length) place++
    next.set(name, place)
    const ending = known[place]
    if (ending === undefined) continue
    rest += `${text.slice(from, index)}${instead}`
    from = ending.end
  }
  return rest + text.slice(from)
}
