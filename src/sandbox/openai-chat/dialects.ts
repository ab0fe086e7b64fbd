/**
 * The chat protocol as different providers really speak it. Which one a model name gets follows what was recorded
 * from those providers; an unknown name speaks as OpenAI does.
 */
export interface Dialect {
  readonly id: 'chatcmpl' | 'chatcmpl-uuid' | 'uuid' | 'hex'
  /** Null is sent as null; undefined leaves the member out. */
  readonly fingerprint: string | null | undefined
  readonly serviceTier: boolean
  readonly logprobsNull: boolean
  /** refusal and annotations in messages, refusal in the first delta. */
  readonly refusal: boolean
  readonly obfuscation: boolean
  /** Reasoning is shown in reasoning_content; otherwise only its tokens are counted. */
  readonly showsReasoning: boolean
  /** Every delta has both content and reasoning_content, the idle one null. */
  readonly pairedDeltas: boolean
  readonly requestId: boolean
  readonly usage: 'openai' | 'openai-writes' | 'deepseek' | 'short' | 'reasoning'
  /** Where a stream has its usage. */
  readonly usageIn: 'own-chunk' | 'finish-chunk'
  /** Usage comes in streams that did not ask for it too. */
  readonly usageUnasked: boolean
  /** Chunks before the last have `"usage":null`. */
  readonly usageNull: 'when-asked' | 'always' | 'never'
}

const OPENAI: Dialect = {
  id: 'chatcmpl',
  fingerprint: 'fp_5a9db0c0de',
  serviceTier: true,
  logprobsNull: true,
  refusal: true,
  obfuscation: true,
  showsReasoning: false,
  pairedDeltas: false,
  requestId: false,
  usage: 'openai',
  usageIn: 'own-chunk',
  usageUnasked: false,
  usageNull: 'when-asked',
}

const OPENAI_WITH_WRITES: Dialect = {
  ...OPENAI,
  fingerprint: null,
  logprobsNull: false,
  usage: 'openai-writes',
}

const COMPATIBLE: Dialect = {
  ...OPENAI,
  id: 'chatcmpl-uuid',
  fingerprint: undefined,
  serviceTier: false,
  refusal: false,
  obfuscation: false,
  usage: 'short',
  usageNull: 'never',
}

const DEEPSEEK: Dialect = {
  ...COMPATIBLE,
  id: 'uuid',
  fingerprint: 'fp_5a9db0c0de_sandbox',
  showsReasoning: true,
  pairedDeltas: true,
  usage: 'deepseek',
  usageIn: 'finish-chunk',
  usageNull: 'when-asked',
}

const KIMI: Dialect = {
  ...COMPATIBLE,
  id: 'chatcmpl',
  logprobsNull: false,
  showsReasoning: true,
  usage: 'reasoning',
  usageIn: 'finish-chunk',
  usageUnasked: true,
}

const QWEN: Dialect = { ...COMPATIBLE, fingerprint: null, showsReasoning: true, usageNull: 'when-asked' }

const GLM: Dialect = {
  ...COMPATIBLE,
  id: 'hex',
  logprobsNull: false,
  showsReasoning: true,
  requestId: true,
  usage: 'reasoning',
  usageIn: 'finish-chunk',
  usageUnasked: true,
}

const BY_NAME: ReadonlyArray<readonly [RegExp, Dialect]> = [
  [/gpt-(?:5\.[6-9]|[6-9]|\d\d)/, OPENAI_WITH_WRITES],
  [/deepseek/, DEEPSEEK],
  [/kimi|moonshot/, KIMI],
  [/qwen|qwq/, QWEN],
  [/glm/, GLM],
]

export function dialectOf(model: string): Dialect {
  const name = model.toLowerCase()
  return BY_NAME.find(([pattern]) => pattern.test(name))?.[1] ?? OPENAI
}

const REASONERS =
  /reason|thinking|gpt-[5-9]|(?:^|[^a-z0-9])o[134](?:$|[^a-z0-9])|kimi-k[2-9]|glm-(?:4\.[5-9]|[5-9])|qwq/

export function isReasoner(model: string): boolean {
  return REASONERS.test(model.toLowerCase())
}
