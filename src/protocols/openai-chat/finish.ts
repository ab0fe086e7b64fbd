import type { Finish } from '../neutral.ts'

/** Why a choice ended, in the words of OpenAI and of its dialects. */
const READ: Readonly<Record<string, Finish>> = {
  stop: 'stop',
  end_turn: 'stop',
  eos: 'stop',
  length: 'length',
  max_tokens: 'length',
  tool_calls: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
  // GLM
  sensitive: 'content_filter',
  network_error: 'error',
  // GLM and Mistral
  model_context_window_exceeded: 'context_exceeded',
  model_length: 'context_exceeded',
  // DeepSeek
  insufficient_system_resource: 'error',
  // OpenRouter and Mistral
  error: 'error',
}

const WRITTEN: Readonly<Record<Finish, string>> = {
  stop: 'stop',
  stop_sequence: 'stop',
  pause: 'stop',
  length: 'length',
  context_exceeded: 'length',
  tool_calls: 'tool_calls',
  content_filter: 'content_filter',
  refusal: 'content_filter',
  error: 'error',
}

/** @param refused whether the model's refusal text came with it: OpenAI says `stop` then */
export function readFinish(raw: string, refused: boolean): Finish {
  const finish = READ[raw] ?? 'stop'
  return refused && finish === 'stop' ? 'refusal' : finish
}

export function writeFinish(finish: Finish, refused: boolean): string {
  return finish === 'refusal' && refused ? 'stop' : WRITTEN[finish]
}
