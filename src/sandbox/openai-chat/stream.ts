import type { PlannedChoice } from '../plan.ts'
import { createPadding, withStreamFaults } from '../stream-faults.ts'
import { splitTokens } from '../tokens.ts'
import { errorJson, streamErrorFields } from './errors.ts'
import { type AnswerFacts, type ChatPlan, finishReason, freshCallId, logprobs } from './render.ts'
import { usageJson } from './usage.ts'

const DONE = 'data: [DONE]\n\n'

/** The frames of a streamed answer, one token a frame, made as they are asked for. */
export function chatStream(facts: AnswerFacts, plan: ChatPlan): Iterable<string> {
  const frames = createFrames(facts, plan)
  return withStreamFaults(answerFrames(facts, plan, frames), facts.switches, {
    error: () => [errorFrame(facts, plan, frames)],
    done: () => DONE,
    doneAfterError: true,
  })
}

interface Frames {
  /** A frame with one choice; `usage` is JSON text or null. */
  choice(index: number, delta: string, options?: ChoiceOptions): string
  /** The frame that has no choice but usage. */
  usage(usage: string): string
  /** The members every frame begins with, up to the choices. */
  readonly head: string
}

interface ChoiceOptions {
  readonly finish?: string
  readonly logprobs?: string
  readonly usage?: string | null
}

/** Prints the unchanging parts once: a frame is then a few strings put together. */
function createFrames(facts: AnswerFacts, plan: ChatPlan): Frames {
  const { dialect, request } = facts
  const head = `data: ${headJson(facts)}`
  const nullUsage = hasNullUsage(facts) ? ',"usage":null' : ''
  const noLogprobs = dialect.logprobsNull ? ',"logprobs":null' : ''
  const nextPadding = createPadding(plan.counts.prompt)
  const padding =
    dialect.obfuscation && request.includeObfuscation ? () => `,"obfuscation":"${nextPadding()}"` : () => ''
  return {
    head,
    choice(index, delta, options = {}) {
      const finish = options.finish === undefined ? 'null' : `"${options.finish}"`
      const probabilities = options.logprobs === undefined ? noLogprobs : `,"logprobs":${options.logprobs}`
      const usage = options.usage == null ? nullUsage : `,"usage":${options.usage}`
      const body = `{"index":${index},"delta":${delta}${probabilities},"finish_reason":${finish}}`
      return `${head},"choices":[${body}]${usage}${padding()}}\n\n`
    },
    usage: (usage) => `${head},"choices":[],"usage":${usage}${padding()}}\n\n`,
  }
}

function headJson({ id, createdS, model, serviceTier, dialect }: AnswerFacts): string {
  const text = JSON.stringify({
    id,
    object: 'chat.completion.chunk',
    created: createdS,
    model,
    ...(dialect.serviceTier ? { service_tier: serviceTier } : {}),
    ...(dialect.fingerprint === undefined ? {} : { system_fingerprint: dialect.fingerprint }),
  })
  return text.slice(0, -1)
}

function hasNullUsage({ dialect, request, switches }: AnswerFacts): boolean {
  if (switches.flags.has('no-usage')) return false
  if (dialect.usageNull === 'always') return true
  return dialect.usageNull === 'when-asked' && request.includeUsage
}

function* answerFrames(facts: AnswerFacts, plan: ChatPlan, frames: Frames): Generator<string> {
  const streams = plan.choices.map((choice, index) => choiceFrames(facts, choice, index, frames))
  // Choices come interleaved, as from the real API: a reader must go by index, not by order.
  for (let open = streams; open.length > 0; ) {
    const still: typeof open = []
    for (const stream of open) {
      const next = stream.next()
      if (next.done) continue
      yield next.value
      still.push(stream)
    }
    open = still
  }
  if (plan.endless !== null) yield* endlessFrames(plan.endless, frames)
  const { switches, dialect, request } = facts
  const usage = usageJson(dialect, plan.counts, switches)
  const wanted = request.includeUsage || dialect.usageUnasked || switches.flags.has('usage-in-finish')
  const inFinish = dialect.usageIn === 'finish-chunk' || switches.flags.has('usage-in-finish')
  for (const [index, choice] of plan.choices.entries()) {
    const last = index === plan.choices.length - 1
    const delta = dialect.pairedDeltas ? finishDelta(choice) : '{}'
    yield frames.choice(index, delta, {
      finish: finishReason(choice),
      usage: last && wanted && inFinish ? usage : null,
    })
  }
  if (usage === null || !wanted || inFinish) return
  if (switches.flags.has('duplicate-usage')) {
    const half = { ...plan.counts, completion: plan.counts.completion >> 1, reasoning: 0 }
    yield frames.usage(usageJson(dialect, half, switches) ?? usage)
  }
  yield frames.usage(usage)
}

function finishDelta({ reasoning }: PlannedChoice): string {
  return reasoning.length > 0 ? '{"content":"","reasoning_content":null}' : '{"content":""}'
}

function* endlessFrames(flow: () => string, frames: Frames): Generator<string> {
  for (;;) {
    for (const piece of splitTokens(` ${flow()}`)) {
      yield frames.choice(0, `{"content":${JSON.stringify(piece)}}`)
    }
  }
}

/** Everything of one choice but its finish frame. */
function* choiceFrames(
  facts: AnswerFacts,
  choice: PlannedChoice,
  index: number,
  frames: Frames,
): Generator<string> {
  const { dialect, request } = facts
  const { reasoning, content, calls } = choice
  const paired = dialect.pairedDeltas && reasoning.length > 0
  const refusal = dialect.refusal ? ',"refusal":null' : ''
  const [only] = calls
  if (dialect.refusal && only !== undefined && calls.length === 1) {
    // A single call travels with the role, several follow it: so it was recorded.
    const call = callStart(facts, only.name, 0)
    yield frames.choice(index, `{"role":"assistant","content":null,"tool_calls":[${call}]${refusal}}`)
  } else {
    const first = calls.length > 0 || paired ? 'null' : '""'
    const thought = paired ? ',"reasoning_content":""' : ''
    yield frames.choice(index, `{"role":"assistant","content":${first}${thought}${refusal}}`)
  }
  for (const piece of reasoning) {
    const text = JSON.stringify(piece)
    yield frames.choice(index, `{${paired ? '"content":null,' : ''}"reasoning_content":${text}}`)
  }
  const idle = paired ? ',"reasoning_content":null' : ''
  const said = choice.finish === 'refusal' ? 'refusal' : 'content'
  for (const piece of content) {
    const delta = `{"${said}":${JSON.stringify(piece)}${idle}}`
    if (!request.logprobs) yield frames.choice(index, delta)
    else {
      const probabilities = JSON.stringify(logprobs([piece], request.topLogprobs))
      yield frames.choice(index, delta, { logprobs: probabilities })
    }
  }
  for (const [place, call] of calls.entries()) {
    if (!dialect.refusal || calls.length > 1) {
      yield frames.choice(index, `{"tool_calls":[${callStart(facts, call.name, place)}]}`)
    }
    for (const piece of call.pieces) {
      const part = `{"index":${callIndex(facts, place)},"function":{"arguments":${JSON.stringify(piece)}}}`
      yield frames.choice(index, `{"tool_calls":[${part}]}`)
    }
  }
}

function callIndex({ switches }: AnswerFacts, place: number): number {
  return switches.flags.has('tool-index-1') ? place + 1 : place
}

function callStart(facts: AnswerFacts, name: string, place: number): string {
  return JSON.stringify({
    index: callIndex(facts, place),
    id: freshCallId(facts.ids),
    type: 'function',
    function: { name, arguments: '' },
  })
}

function errorFrame({ switches, dialect }: AnswerFacts, plan: ChatPlan, frames: Frames): string {
  const fields = streamErrorFields(switches)
  if (!switches.flags.has('error-usage')) return `data: ${errorJson(fields)}\n\n`
  // OpenRouter's way: a chunk like any other, with an error member and the usage up to here.
  const error = JSON.stringify({ code: 502, message: fields.message })
  const usage = usageJson(dialect, plan.counts, switches)
  const choices = '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"error"}]'
  return `${frames.head},"error":${error},${choices}${usage === null ? '' : `,"usage":${usage}`}}\n\n`
}
