import type { Json, JsonObject } from '../../src/kernel/index.ts'

/** Answers of the four formats around a usage object: the least that each of them can be. */

export interface Answer {
  readonly contentType: 'application/json' | 'text/event-stream'
  readonly text: string
}

/** @param model the name that the answer gives itself */
export type Answering = (model: string) => Answer

const TEXT = 'abcdefghijklmnopqrstuvwxyz0123456789'
const TOOL = { name: 'tide_table', arguments: '{"harbour":"Faro"}' }

const whole = (body: JsonObject): Answer => ({ contentType: 'application/json', text: JSON.stringify(body) })

function stream(events: readonly JsonObject[], end = ''): Answer {
  const text = events.map((event) => {
    const type = event['type']
    return `${typeof type === 'string' ? `event: ${type}\n` : ''}data: ${JSON.stringify(event)}\n\n`
  })
  return { contentType: 'text/event-stream', text: text.join('') + end }
}

// ---- chat completions -----------------------------------------------------------------------------------------------

const CHAT_CALL = { id: 'call_1', type: 'function', function: TOOL }

export function chat(usage: Json, more: JsonObject = {}, tool = false): Answering {
  return (model) =>
    whole({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1,
      model,
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: tool ? null : TEXT,
            ...(tool ? { tool_calls: [CHAT_CALL] } : {}),
          },
          finish_reason: tool ? 'tool_calls' : 'stop',
        },
      ],
      usage,
      ...more,
    })
}

/** @param usage null for a stream that never says */
export function chatStream(usage: Json, tool = false): Answering {
  return (model) => {
    const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model }
    const delta = tool ? { tool_calls: [{ index: 0, ...CHAT_CALL }] } : { content: TEXT }
    return stream(
      [
        { ...head, choices: [{ index: 0, delta: { role: 'assistant', ...delta }, finish_reason: null }] },
        { ...head, choices: [{ index: 0, delta: {}, finish_reason: tool ? 'tool_calls' : 'stop' }] },
        ...(usage === null ? [] : [{ ...head, choices: [], usage }]),
      ],
      'data: [DONE]\n\n',
    )
  }
}

// ---- responses ------------------------------------------------------------------------------------------------------

const MESSAGE = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: TEXT, annotations: [] }],
}

export function responses(usage: Json, more: JsonObject = {}): Answering {
  return (model) =>
    whole({
      id: 'resp_1',
      object: 'response',
      created_at: 1,
      status: 'completed',
      model,
      output: [MESSAGE],
      usage,
      ...more,
    })
}

/** How a stream of responses ends: as published, cut short by a limit, or with members that no type allows. */
export type Terminal = 'completed' | 'incomplete' | 'unvalidated'

export function responsesStream(usage: Json, terminal: Terminal = 'completed'): Answering {
  return (model) => {
    const response = {
      id: 'resp_1',
      object: 'response',
      created_at: 1,
      status: 'in_progress',
      model,
      output: [],
    }
    const status = terminal === 'unvalidated' ? 'completed' : terminal
    const last: JsonObject = {
      ...response,
      status,
      ...(terminal === 'unvalidated'
        ? { output: 'none', created_at: 'now', tools: 7 }
        : { output: [MESSAGE] }),
      ...(terminal === 'incomplete' ? { incomplete_details: { reason: 'max_output_tokens' } } : {}),
      usage,
    }
    return stream([
      { type: 'response.created', sequence_number: 0, response },
      {
        type: 'response.output_item.added',
        sequence_number: 1,
        output_index: 0,
        item: { ...MESSAGE, status: 'in_progress', content: [] },
      },
      {
        type: 'response.output_text.delta',
        sequence_number: 2,
        item_id: 'msg_1',
        output_index: 0,
        content_index: 0,
        delta: TEXT,
      },
      { type: `response.${status}`, sequence_number: 3, response: last },
    ])
  }
}

// ---- messages -------------------------------------------------------------------------------------------------------

export interface MessageMore {
  readonly content?: readonly JsonObject[]
  readonly stopReason?: string
}

export function messages(usage: JsonObject, more: MessageMore = {}): Answering {
  return (model) =>
    whole({
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model,
      content: more.content ?? [{ type: 'text', text: TEXT }],
      stop_reason: more.stopReason ?? 'end_turn',
      stop_sequence: null,
      usage,
    })
}

/** @param start what message_start says @param delta what message_delta says, cumulative */
export function messagesStream(start: JsonObject, delta: JsonObject): Answering {
  return (model) =>
    stream([
      {
        type: 'message_start',
        message: {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          model,
          content: [],
          stop_reason: null,
          usage: start,
        },
      },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: TEXT } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: delta },
      { type: 'message_stop' },
    ])
}

// ---- generateContent ------------------------------------------------------------------------------------------------

const CANDIDATE = { content: { role: 'model', parts: [{ text: TEXT }] }, finishReason: 'STOP', index: 0 }

export function gemini(usageMetadata: JsonObject, candidate: JsonObject = {}): Answering {
  return (modelVersion) =>
    whole({ candidates: [{ ...CANDIDATE, ...candidate }], usageMetadata, modelVersion, responseId: 'r' })
}

export function geminiBlocked(usageMetadata: JsonObject, streamed: boolean): Answering {
  return (modelVersion) => {
    const body = {
      promptFeedback: { blockReason: 'PROHIBITED_CONTENT' },
      usageMetadata,
      modelVersion,
      responseId: 'r',
    }
    return streamed ? stream([body]) : whole(body)
  }
}
