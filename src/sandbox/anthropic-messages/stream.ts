import { withStreamFaults } from '../stream-faults.ts'
import { splitTokens } from '../tokens.ts'
import type { AnswerBlock, AnswerFacts } from './answer.ts'
import { midStreamJson } from './errors.ts'
import { deltaUsage, startUsage } from './usage.ts'

const PING = 'event: ping\ndata: {"type": "ping"}\n\n'

/** The frames of a streamed answer, one token a frame, made as they are asked for. */
export function messagesStream(facts: AnswerFacts): Iterable<string> {
  const pad = createPad()
  return withStreamFaults(answerFrames(facts, pad), facts.switches, {
    error: () => [`event: error\ndata: ${midStreamJson(facts.switches, facts.requestUuid)}\n\n`],
    done: () => frame('message_stop', '', pad),
    doneAfterError: false,
  })
}

/** Blanks before the last brace, of changing number, as recorded: a reader must not rely on where a line ends. */
function createPad(): () => string {
  let at = 5
  return () => {
    at = (at * 7 + 3) % 16
    return ' '.repeat(at)
  }
}

/** @param members JSON members after `type`, each with its comma before it */
function frame(type: string, members: string, pad: () => string): string {
  return `event: ${type}\ndata: {"type":"${type}"${members}${pad()}}\n\n`
}

function* answerFrames(facts: AnswerFacts, pad: () => string): Generator<string> {
  const { blocks, endless, switches } = facts
  const start = frame('message_start', `,"message":${startMessage(facts)}`, pad)
  yield start
  if (switches.flags.has('double-start')) yield start
  let pinged = false
  for (const [index, block] of blocks.entries()) {
    for (const one of blockFrames(block, index, index === blocks.length - 1 ? endless : null, pad)) {
      yield one
      if (!pinged) yield PING
      pinged = true
    }
  }
  if (!pinged) yield PING
  if (switches.flags.has('duplicate-usage')) {
    const { usage } = facts
    const half = { ...usage, outputTokens: usage.outputTokens >> 1, thinkingTokens: 0 }
    yield endFrame('{"stop_reason":null,"stop_sequence":null}', deltaUsage(half), pad)
  }
  const { stop_details: details, ...ending } = facts.ending
  // Recorded: in a stream the details come with a refusal only.
  const delta = details == null ? ending : { ...ending, stop_details: details }
  yield endFrame(JSON.stringify(delta), deltaUsage(facts.usage), pad)
}

function endFrame(delta: string, usage: string | null, pad: () => string): string {
  return frame('message_delta', `,"delta":${delta}${usage === null ? '' : `,"usage":${usage}`}`, pad)
}

function startMessage({ model, id, usage }: AnswerFacts): string {
  const message = JSON.stringify({
    model,
    id,
    type: 'message',
    role: 'assistant',
    content: [],
    stop_reason: null,
    stop_sequence: null,
  })
  const text = startUsage(usage)
  return text === null ? message : `${message.slice(0, -1)},"usage":${text}}`
}

function* blockFrames(
  block: AnswerBlock,
  index: number,
  endless: (() => string) | null,
  pad: () => string,
): Generator<string> {
  const start = (content: object): string =>
    frame('content_block_start', `,"index":${index},"content_block":${JSON.stringify(content)}`, pad)
  const delta = (type: string, member: string, text: string): string => {
    const inner = `{"type":"${type}","${member}":${JSON.stringify(text)}}`
    return frame('content_block_delta', `,"index":${index},"delta":${inner}`, pad)
  }
  switch (block.kind) {
    case 'thinking':
      yield start({ type: 'thinking', thinking: '', signature: '' })
      for (const piece of block.pieces) yield delta('thinking_delta', 'thinking', piece)
      yield delta('signature_delta', 'signature', block.signature)
      break
    case 'text':
      yield start({ ...(block.citations === null ? {} : { citations: [] }), type: 'text', text: '' })
      for (const citation of block.citations ?? []) {
        const inner = JSON.stringify({ type: 'citations_delta', citation })
        yield frame('content_block_delta', `,"index":${index},"delta":${inner}`, pad)
      }
      for (const piece of block.pieces) yield delta('text_delta', 'text', piece)
      for (; endless !== null; ) {
        for (const piece of splitTokens(` ${endless()}`)) yield delta('text_delta', 'text', piece)
      }
      break
    case 'compaction':
      yield start({ type: 'compaction', content: null })
      yield delta('compaction_delta', 'content', block.pieces.join(''))
      break
    case 'call':
      yield start({ ...block.head, input: {} })
      yield delta('input_json_delta', 'partial_json', '')
      for (const piece of block.pieces) yield delta('input_json_delta', 'partial_json', piece)
      break
    case 'whole':
      yield start(block.block)
      break
  }
  yield frame('content_block_stop', `,"index":${index}`, pad)
}
