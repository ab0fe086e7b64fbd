import { type Json, totalOutput } from '../src/kernel/index.ts'
import { estimateTextTokens } from '../src/protocols/estimate.ts'
import { familyOf } from '../src/protocols/model-family.ts'
import { HAS_SAMPLES, type Recording, recordingsOf, streamBytes } from '../test/protocols/recordings.ts'
import { FORMATS, type Format } from '../test/protocols/registry.ts'
import type { Measured } from './ledger.ts'
import { figure, type Goal, median, percentile, table } from './report.ts'

/**
 * How far our own count of tokens is from what providers counted, and what it costs. Only output that can be seen is
 * compared: hidden reasoning is taken off what was reported, and answers where it cannot be are left out.
 */

interface Compared {
  readonly file: string
  readonly family: string
  readonly reported: number
  readonly plain: number
  readonly withFactor: number
}

interface Read {
  readonly usage: Json | undefined
  readonly model: string | null
  readonly tokens: number
  readonly text: string
}

/** Fewer tokens are mostly the format's own. */
const REPORTED_MIN = 24

/** Why a recording says nothing about the rate of text to tokens. */
const LEFT_OUT: ReadonlyArray<readonly [RegExp, string]> = [
  [/advisor|web-search/, 'a server’s own tools wrote among it'],
  [/image-gen/, 'an image'],
  [/duplicate-message-start|fallback|stream-error/, 'its usage is of another answer'],
  [/tool-no-args/, 'the format of a call, no text'],
  [/anthropic-thinking-stream/, 'a summary of its thinking is shown, the whole is counted'],
  [/openai-responses-reasoning/, 'a summary of its reasoning is shown, none of it is counted apart'],
]

function read(format: Format, recording: Recording): Read | null {
  if (recording.kind === 'stream') {
    const reader = format.createStreamReader({ wantsUsage: true, annotate: () => null })
    reader.feed(streamBytes(recording))
    reader.flush()
    const { usage, servedModel, delivered } = reader.state
    return { usage, model: servedModel, tokens: Math.ceil(delivered.tokens), text: recording.text }
  }
  const result = format.readAnswer(recording.text)
  if (!result.ok) return null
  const { usage, servedModel, tokensEstimated } = result.answer
  return { usage, model: servedModel, tokens: tokensEstimated, text: recording.text }
}

/** Compatible providers of the chat format show all of their reasoning; the others hide it, or sum it up. */
const showsReasoning = (text: string): boolean => text.includes('"reasoning_content"')

function compare(format: Format, recording: Recording): Compared | null {
  const answer = read(format, recording)
  const usage = format.readUsage(answer?.usage)
  if (answer === null || usage.kind !== 'reported') return null
  const hidden = showsReasoning(answer.text) ? 0 : (usage.usage.reasoning ?? 0)
  const reported = totalOutput(usage.usage.counts) - hidden
  if (reported < REPORTED_MIN) return null
  const { name, factor } = familyOf(answer.model ?? '')
  const plain = answer.tokens
  return { file: recording.file, family: name, reported, plain, withFactor: Math.ceil(plain * factor) }
}

const errorOf = (estimated: number, reported: number): number => estimated / reported - 1
const percent = (share: number): string => `${share >= 0 ? '+' : ''}${(share * 100).toFixed(0)} %`

function familyRow(name: string, all: readonly Compared[]): readonly string[] {
  const of = (estimated: (each: Compared) => number): string[] => {
    const errors = all.map((each) => errorOf(estimated(each), each.reported))
    const sizes = errors.map(Math.abs)
    const sum = all.reduce((total, each) => total + estimated(each), 0)
    const reported = all.reduce((total, each) => total + each.reported, 0)
    return [percent(median(sizes)), percent(percentile(sizes, 0.9)), percent(errorOf(sum, reported))]
  }
  const tokens = all.reduce((sum, each) => sum + each.reported, 0)
  return [
    name,
    String(all.length),
    figure(tokens),
    ...of((each) => each.plain),
    ...of((each) => each.withFactor),
  ]
}

function accuracy(all: readonly Compared[]): string {
  const names = [...new Set(all.map(({ family }) => family))].sort()
  const head = [
    'family',
    'answers',
    'tokens',
    'median',
    'p90',
    'bias',
    'median, factor',
    'p90, factor',
    'bias, factor',
  ]
  const rows = names.map((name) =>
    familyRow(
      name,
      all.filter(({ family }) => family === name),
    ),
  )
  return table(head, [...rows, familyRow('all', all)])
}

/** Texts that a byte-pair encoder chokes on. */
const HOSTILE: Readonly<Record<string, string>> = {
  'one run of a letter': 'a',
  spaces: ' ',
  emoji: '😀',
  Chinese: '汉',
  'accents without end': '\u0301',
}

function bestMs(work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const startedMs = performance.now()
    work()
    best = Math.min(best, performance.now() - startedMs)
  }
  return best
}

interface Timed {
  readonly name: string
  readonly oneMs: number
  readonly fiftyMs: number
  readonly parseMs: number
}

/** The whole of the largest body, as one text, with what JSON.parse of it takes on the same loop before. */
function time(name: string, unit: string, megabytes: number): Timed {
  const textOf = (bytes: number): string =>
    Buffer.from(unit.repeat(Math.ceil(bytes / Buffer.byteLength(unit)))).toString('utf8')
  const [one, large] = [textOf(1e6), textOf(megabytes * 1e6)]
  const json = JSON.stringify({ content: large })
  return {
    name,
    oneMs: bestMs(() => estimateTextTokens(one)),
    fiftyMs: bestMs(() => estimateTextTokens(large)),
    parseMs: bestMs(() => JSON.parse(json)),
  }
}

export function measureEstimate(quick: boolean): Measured {
  const compared = FORMATS.flatMap((format) => {
    const { answers, streams } = recordingsOf(format)
    return [...answers, ...streams]
      .filter(({ file, recorded }) => recorded && !LEFT_OUT.some(([pattern]) => pattern.test(file)))
      .map((recording) => compare(format, recording))
      .filter((each) => each !== null)
  })
  const megabytes = quick ? 10 : 50
  const timed = Object.entries(HOSTILE).map(([name, unit]) => time(name, unit, megabytes))
  const times = table(
    ['text', '1 MB, ms', `${megabytes} MB, ms`, 'growth', `JSON.parse of ${megabytes} MB, ms`],
    timed.map(({ name, oneMs, fiftyMs, parseMs }) => [
      name,
      oneMs.toFixed(2),
      fiftyMs.toFixed(1),
      `${figure(fiftyMs / oneMs / megabytes)}×`,
      parseMs.toFixed(1),
    ]),
  )
  const size = (of: (each: Compared) => number): number | null =>
    compared.length === 0 ? null : median(compared.map((each) => Math.abs(errorOf(of(each), each.reported))))
  const goals: Goal[] = [
    {
      name: 'estimate: median error of an answer, of what was reported',
      value: size(({ withFactor }) => withFactor),
      unit: '×',
      limit: 0.25,
      sense: 'at most',
      foreignCores: 0,
    },
    {
      name: `estimate: time of the dearest ${megabytes} MB, of JSON.parse of them`,
      value: Math.max(...timed.map(({ fiftyMs, parseMs }) => fiftyMs / parseMs)),
      unit: '×',
      limit: 1,
      sense: 'at most',
      foreignCores: 0,
    },
  ]
  const notes = [
    HAS_SAMPLES
      ? `${compared.length} recorded answers of at least ${REPORTED_MIN} visible tokens; left out: ${LEFT_OUT.map(([pattern, why]) => `${pattern.source} (${why})`).join(', ')}`
      : 'no recordings beside this checkout: accuracy was not measured',
  ]
  const each = table(
    ['recorded answer', 'family', 'reported', 'plain', 'with factor'],
    compared.map(({ file, family, reported, plain, withFactor }) => [
      file,
      family,
      ...[reported, plain, withFactor].map(String),
    ]),
  )
  const text = compared.length === 0 ? times : [each, accuracy(compared), times].join('\n\n')
  return { runs: compared, goals, notes, text }
}
