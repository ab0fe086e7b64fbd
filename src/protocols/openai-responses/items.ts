import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import { customInput } from './custom-input.ts'
import type { ToolIdentity } from './names.ts'
import { REASONING_ID } from './seal.ts'

/** Output items of an answer of ours. Their ids begin as OpenAI's do: it refuses others when they come back. */

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

const PREFIXES = {
  message: 'msg_tf_',
  reasoning: REASONING_ID,
  function: 'fc_tf_',
  custom: 'ctc_tf_',
  local_shell: 'lsh_tf_',
  tool_search: 'tsc_tf_',
} as const

export function itemId(kind: keyof typeof PREFIXES, suffix: string, index: number): string {
  return `${PREFIXES[kind]}${suffix}_${index}`
}

export function messageItem(id: string, status: ItemStatus, content: readonly JsonObject[]): JsonObject {
  return { id, type: 'message', status, role: 'assistant', content }
}

export function textPart(
  text: string,
  annotations: readonly JsonObject[],
  logprobs: readonly JsonObject[],
): JsonObject {
  return { type: 'output_text', annotations, logprobs, text }
}

export function refusalPart(refusal: string): JsonObject {
  return { type: 'refusal', refusal }
}

export function summaryPart(text: string): JsonObject {
  return { type: 'summary_text', text }
}

/** @param encrypted null when there is nothing to bring back, or the caller does not ask for it */
export function reasoningItem(id: string, text: string, encrypted: string | null): JsonObject {
  return {
    id,
    type: 'reasoning',
    summary: text === '' ? [] : [summaryPart(text)],
    ...(encrypted === null ? {} : { encrypted_content: encrypted }),
  }
}

export interface Call {
  readonly id: string
  readonly callId: string
  readonly identity: ToolIdentity
  /** As the model wrote them. */
  readonly arguments: string
}

/** Clients parse the arguments without asking whether there are any. */
export const argumentsOf = (text: string): string => (text === '' ? '{}' : text)

function parsedArguments(text: string): Json {
  const parsed = parseJson(argumentsOf(text))
  return parsed.ok ? parsed.value : {}
}

/** The action of OpenAI's shell: a model that was shown a function may also write one line of shell. */
function shellAction(text: string): JsonObject {
  const given = parsedArguments(text)
  const members = isObject(given) ? given : {}
  const { command, env } = members
  return {
    type: 'exec',
    ...members,
    command: isArray(command) ? command : ['bash', '-lc', typeof command === 'string' ? command : ''],
    env: isObject(env) ? env : {},
  }
}

/** The item of a call, in the kind and namespace that its tool was declared in. */
export function callItem(call: Call, status: ItemStatus): JsonObject {
  const { id, callId, identity } = call
  const space = identity.namespace === null ? {} : { namespace: identity.namespace }
  const { name } = identity
  switch (identity.kind) {
    case 'custom':
      return {
        id,
        type: 'custom_tool_call',
        status,
        call_id: callId,
        ...space,
        name,
        input: status === 'in_progress' ? '' : customInput(call.arguments),
      }
    case 'local_shell':
      return { id, type: 'local_shell_call', status, call_id: callId, action: shellAction(call.arguments) }
    case 'tool_search':
      return {
        id,
        type: 'tool_search_call',
        status,
        call_id: callId,
        execution: 'client',
        arguments: parsedArguments(call.arguments),
      }
    case 'function':
      return {
        id,
        type: 'function_call',
        status,
        arguments: status === 'in_progress' ? '' : argumentsOf(call.arguments),
        call_id: callId,
        ...space,
        name,
      }
  }
}
