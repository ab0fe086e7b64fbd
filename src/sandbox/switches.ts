import { parseJson } from '../kernel/index.ts'

/** Switches without a value: name → what it does. */
export const FLAG_SWITCHES = {
  hang: 'accept the request and never answer',
  'no-done': 'a stream without its closing [DONE]',
  'no-usage': 'no usage anywhere',
  'usage-in-finish': 'stream: usage inside the last choice chunk instead of a chunk of its own',
  'usage-deepseek': 'usage also carries prompt_cache_hit_tokens and prompt_cache_miss_tokens',
  'zero-usage': 'every count in usage is 0',
  'duplicate-usage': 'stream: the usage chunk is sent twice, the second one larger',
  empty: 'an answer without content, completion_tokens 0',
  'error-first': '200, then an error as the first event',
  'error-usage': 'the error event of error-event is a chunk that carries usage too',
  quota: 'with status=429: insufficient_quota instead of rate_limit_exceeded',
  html: '200 with an HTML page',
  garbage: '200 with content type JSON and a body that is no JSON',
  'ignore-max': 'pay no attention to max_tokens; a stream goes on for ever unless words=N is given',
  crlf: 'stream lines end in CR LF',
  comments: 'a comment line before every event',
  burst: 'the whole stream in one write',
  drip: 'the answer one byte every 10 ms',
  'no-final-blank': 'the last event without the blank line that ends it',
  'tool-index-1': 'stream: tool call indexes start at 1',
  'drop-connection': 'close the socket before any header',
  redirect: '307 to this server itself',
  overloaded:
    "the format's own overload answer: 529 overloaded_error, 503; with error-event: that error in mid-stream",
  strict: 'refuse members of the body that the real API does not know (not chat)',
  refusal: 'the model refuses to answer',
  blocked: 'Gemini: the prompt is blocked, an answer without candidates',
  'double-start': 'Messages stream: message_start is sent twice',
  iterations:
    'Messages: usage.iterations with a compaction and an advisor on another model, outside the top level',
  'split-lost': 'Messages: the 5m/1h split covers less than the cache writes (stream: half; otherwise: none)',
  'redacted-thinking': 'Messages: thinking comes as redacted_thinking',
} as const

/** Switches whose value is a whole number. */
export const COUNT_SWITCHES = {
  status: 'answer with this error status',
  'retry-after': 'with status: a retry-after header of N seconds',
  'slow-headers': 'wait N ms before the headers',
  'first-token': 'wait N ms before the first event (not a stream: before the answer)',
  delay: 'wait N ms between events',
  cut: 'stream: destroy the socket after N events; otherwise: after half of the body',
  'end-early': 'stream: end in good order after N events, without finish chunk and [DONE]',
  'error-event': 'stream: after N events an error event, then the end',
  words: 'an answer of N words (Chinese: N characters)',
  split: 'write the answer in pieces of N bytes, each on its own',
  websearch: 'N searches by the provider, counted where the format counts them',
  'huge-line': 'the first piece of content has N bytes more, in one line',
} as const

/** Switches whose value is any text without a comma. */
export const TEXT_SWITCHES = {
  secret: 'repeat TEXT inside the error message',
  fallback: 'Messages: the asked model falls back to the model TEXT',
  model: 'say that the model TEXT served the request',
} as const

export const STATUSES = [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529] as const
export type FaultStatus = (typeof STATUSES)[number]

export type FlagSwitch = keyof typeof FLAG_SWITCHES
export type CountSwitch = keyof typeof COUNT_SWITCHES
export type TextSwitch = keyof typeof TEXT_SWITCHES

/** `usage=null` and `usage.PATH=JSON`; not in the tables above, since their names are open. */
export interface UsageOverride {
  /** Empty for usage as a whole. */
  readonly path: readonly string[]
  /** JSON text that is sent as it is, so that a test can send 1e400 or -5. */
  readonly json: string
}

export interface Switches {
  /** True when nothing is set: the fast way. */
  readonly none: boolean
  readonly flags: ReadonlySet<FlagSwitch>
  readonly counts: Readonly<Partial<Record<CountSwitch, number>>>
  readonly texts: Readonly<Partial<Record<TextSwitch, string>>>
  readonly usage: readonly UsageOverride[]
}

export type ParsedSwitches =
  | { readonly ok: true; readonly switches: Switches }
  | { readonly ok: false; readonly message: string }

export const NO_SWITCHES: Switches = { none: true, flags: new Set(), counts: {}, texts: {}, usage: [] }

const COUNT = /^\d{1,9}$/
const USAGE_PATH = /^usage(?:\.[A-Za-z_]\w*)*$/

/**
 * Reads switches from any number of lists ("a, b=2"); of two settings of one switch the later wins.
 * @returns a message for the caller that lists every known switch when one is unknown or has an unfit value
 */
export function parseSwitches(lists: readonly string[]): ParsedSwitches {
  const flags = new Set<FlagSwitch>()
  const counts: Partial<Record<CountSwitch, number>> = {}
  const texts: Partial<Record<TextSwitch, string>> = {}
  const usage: UsageOverride[] = []
  const faults: string[] = []
  const items = lists.flatMap((list) => list.split(',')).map((item) => item.trim())
  for (const item of items) {
    if (item === '') continue
    const at = item.indexOf('=')
    const name = at === -1 ? item : item.slice(0, at).trim()
    const value = at === -1 ? null : item.slice(at + 1).trim()
    if (isKeyOf(FLAG_SWITCHES, name)) {
      if (value === null) flags.add(name)
      else faults.push(`"${name}" takes no value`)
    } else if (isKeyOf(COUNT_SWITCHES, name)) {
      const count = readCount(name, value)
      if (count === null) faults.push(`"${name}" does not take the value "${value ?? ''}"`)
      else counts[name] = count
    } else if (isKeyOf(TEXT_SWITCHES, name)) {
      if (value === null || value === '') faults.push(`"${name}" needs a value`)
      else texts[name] = value
    } else if (USAGE_PATH.test(name)) {
      if (value === null || !parseJson(value).ok) faults.push(`"${name}" needs a JSON value`)
      else usage.push({ path: name.split('.').slice(1), json: value })
    } else faults.push(`"${name}" is unknown`)
  }
  if (faults.length > 0) return { ok: false, message: `${faults.join('; ')}. ${knownSwitches()}` }
  const none = flags.size === 0 && usage.length === 0 && isEmpty(counts) && isEmpty(texts)
  return { ok: true, switches: none ? NO_SWITCHES : { none, flags, counts, texts, usage } }
}

const MARKER = /\[\[\s{0,9}sandbox\s{0,9}:([^[\]]*)\]\]/gi

/** Takes the `[[sandbox: …]]` markers out of a message. */
export function takeMarkers(text: string): { readonly text: string; readonly lists: readonly string[] } {
  const lists = [...text.matchAll(MARKER)].map((match) => match[1] ?? '')
  return lists.length === 0 ? { text, lists } : { text: text.replace(MARKER, ' ').trim(), lists }
}

function knownSwitches(): string {
  const counts = Object.keys(COUNT_SWITCHES).map((name) => `${name}=N`)
  const texts = Object.keys(TEXT_SWITCHES).map((name) => `${name}=TEXT`)
  const names = [...Object.keys(FLAG_SWITCHES), ...counts, ...texts, 'usage=null', 'usage.PATH=VALUE']
  return `Known sandbox switches: ${names.join(', ')}. status is one of ${STATUSES.join(', ')}.`
}

function readCount(name: CountSwitch, value: string | null): number | null {
  if (value === null || !COUNT.test(value)) return null
  const count = Number.parseInt(value, 10)
  if (name === 'status' && !STATUSES.some((status) => status === count)) return null
  if (name === 'split' && count === 0) return null
  return count
}

function isKeyOf<Table extends object>(table: Table, name: string): name is keyof Table & string {
  return Object.hasOwn(table, name)
}

function isEmpty(table: object): boolean {
  return Object.keys(table).length === 0
}
