/**
 * How many tokens a family of models makes of a text that `estimate.ts` counts as one: its tokenizer against OpenAI's.
 * Only for what nobody reported and for counts we are asked for; holds are bounded by bytes, whatever the family.
 *
 * Sources: answers that providers themselves counted, recorded in pydantic-ai's and Vercel's test suites, read with
 * o200k (2026-11; small samples of English). What was not measured stays at 1.
 */

interface Family {
  readonly name: string
  /** Of the model's name, without what a relay or a cloud puts before it. */
  readonly pattern: RegExp
  readonly factor: number
}

const FAMILIES: readonly Family[] = [
  // Sonnet 4.5, 4.6 and Opus 4.6: 1.12 to 1.16.
  {
    name: 'claude to 4.6',
    pattern: /claude-(?:instant|v?[12]\b|3|[a-z]+-(?:3|4(?!\d)(?![.-][7-9](?!\d))))/,
    factor: 1.13,
  },
  // Another tokenizer since Opus 4.7; Opus 4.8: 1.42 (11 answers), Opus 5: 1.35 (one answer).
  { name: 'claude', pattern: /claude/, factor: 1.4 },
  // 2.5 Flash and Pro: 1.15 to 1.20.
  { name: 'gemini', pattern: /gemini|gemma/, factor: 1.18 },
  // 1.00 to 1.08: its own tokenizer, and a few tokens of format an answer.
  { name: 'gpt', pattern: /(?:^|[/.])(?:gpt|chatgpt|o\d|codex)/, factor: 1.05 },
  // 1.01 to 1.03.
  { name: 'deepseek', pattern: /deepseek/, factor: 1.02 },
  // 4.7: 1.04 to 1.06.
  { name: 'glm', pattern: /(?:^|[/.])(?:glm|chatglm)/, factor: 1.06 },
  // 1.03 to 1.08.
  { name: 'mistral', pattern: /mistral|ministral|magistral|codestral|devstral|mixtral/, factor: 1.05 },
  // qwen3-max: 1.01 (one long answer).
  { name: 'qwen', pattern: /qwen|qwq/, factor: 1.01 },
]

export interface ModelFamily {
  readonly name: string
  readonly factor: number
}

const OTHER: ModelFamily = { name: 'other', factor: 1 }

/** @param upstreamModel as the channel calls it: `anthropic/claude-opus-4.8`, `us.anthropic.claude-3-haiku-20240307-v1:0` */
export function familyOf(upstreamModel: string): ModelFamily {
  const name = upstreamModel.toLowerCase()
  return FAMILIES.find(({ pattern }) => pattern.test(name)) ?? OTHER
}
