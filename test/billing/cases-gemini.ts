import { gemini, geminiBlocked } from './bodies.ts'
import { type CostCase, SERVED } from './cost-case.ts'

const FORMAT = 'gemini-generate'
const PLAIN = { promptTokenCount: 120, candidatesTokenCount: 40, totalTokenCount: 160 }
const PLAIN_COUNTS = { input: 120, output: 40 }
const BLOCKED = { promptTokenCount: 1000, totalTokenCount: 1000 }
const NOT_CHARGED = {
  counts: { input: 1000 },
  settlement: 'empty_completion',
  lines: [],
  total: 0n,
} as const

export const GEMINI_CASES: readonly CostCase[] = [
  {
    name: 'gemini: thoughts lie beside the candidates',
    format: FORMAT,
    answer: gemini({
      promptTokenCount: 100,
      candidatesTokenCount: 30,
      thoughtsTokenCount: 70,
      totalTokenCount: 200,
    }),
    counts: { input: 100, output: 100 },
    reasoning: 70,
    lines: [
      ['input', 100, 200_000n],
      ['output', 100, 800_000n],
    ],
    total: 1_000_000n,
    whole: true,
  },
  {
    name: 'gemini: what hosted tools fed to the model is input beside the prompt',
    format: FORMAT,
    answer: gemini({
      promptTokenCount: 17,
      toolUsePromptTokenCount: 103,
      candidatesTokenCount: 40,
      totalTokenCount: 160,
    }),
    counts: PLAIN_COUNTS,
    lines: [
      ['input', 120, 240_000n],
      ['output', 40, 320_000n],
    ],
    total: 560_000n,
  },
  {
    name: 'gemini: cache, sound, pictures and thoughts at once',
    format: FORMAT,
    // prompt 1,000 = 500 cached (of them 100 sound) + 250 text + 150 sound + 100 picture; 30 said, 20 spoken, 15 thought
    answer: gemini({
      promptTokenCount: 1000,
      cachedContentTokenCount: 500,
      cacheTokensDetails: [
        { modality: 'TEXT', tokenCount: 400 },
        { modality: 'AUDIO', tokenCount: 100 },
      ],
      promptTokensDetails: [
        { modality: 'TEXT', tokenCount: 650 },
        { modality: 'AUDIO', tokenCount: 250 },
        { modality: 'IMAGE', tokenCount: 100 },
      ],
      candidatesTokenCount: 50,
      candidatesTokensDetails: [
        { modality: 'TEXT', tokenCount: 30 },
        { modality: 'AUDIO', tokenCount: 20 },
      ],
      thoughtsTokenCount: 15,
      totalTokenCount: 1065,
    }),
    counts: { input: 250, cache_read: 500, input_audio: 150, input_image: 100, output: 45, output_audio: 20 },
    reasoning: 15,
    lines: [
      ['input', 250, 500_000n],
      ['cache_read', 500, 100_000n],
      ['output', 45, 360_000n],
      ['input_audio', 150, 2_400_000n],
      ['output_audio', 20, 640_000n],
      ['input_image', 100, 300_000n],
    ],
    total: 4_300_000n,
    whole: true,
  },
  {
    name: 'gemini: two queries of the web; one that is repeated counts once',
    format: FORMAT,
    answer: gemini(PLAIN, {
      groundingMetadata: { webSearchQueries: ['tides faro', 'ferry olhão', 'tides faro'] },
    }),
    counts: PLAIN_COUNTS,
    searches: 2,
    lines: [
      ['input', 120, 240_000n],
      ['output', 40, 320_000n],
      ['web_search', 2, 20_000_000n],
    ],
    total: 20_560_000n,
  },
  {
    name: 'gemini: flex as asked',
    format: FORMAT,
    answer: gemini({ ...PLAIN, serviceTier: 'flex' }),
    ask: { serviceTier: 'flex' },
    price: SERVED,
    counts: PLAIN_COUNTS,
    lines: [
      ['input', 120, 120_000n],
      ['output', 40, 160_000n],
    ],
    total: 280_000n,
    whole: true,
  },
  {
    name: 'gemini: Vertex names the tier by its traffic',
    format: FORMAT,
    answer: gemini({ ...PLAIN, trafficType: 'ON_DEMAND_PRIORITY' }),
    ask: { serviceTier: 'priority' },
    price: SERVED,
    counts: PLAIN_COUNTS,
    lines: [
      ['input', 120, 420_000n],
      ['output', 40, 560_000n],
    ],
    total: 980_000n,
  },
  {
    name: 'gemini: provisioned throughput has no price a token',
    format: FORMAT,
    answer: gemini({ ...PLAIN, trafficType: 'PROVISIONED_THROUGHPUT' }),
    price: { ...SERVED, service_tiers: { provisioned: { input: '0', output: '0' } } },
    counts: PLAIN_COUNTS,
    lines: [],
    total: 0n,
  },
  {
    name: 'gemini: a limit that thoughts alone used up is charged',
    format: FORMAT,
    answer: gemini(
      { promptTokenCount: 15, thoughtsTokenCount: 64, totalTokenCount: 79 },
      { content: { role: 'model' }, finishReason: 'MAX_TOKENS' },
    ),
    counts: { input: 15, output: 64 },
    reasoning: 64,
    lines: [
      ['input', 15, 30_000n],
      ['output', 64, 512_000n],
    ],
    total: 542_000n,
  },
  // Google charges the input of a prompt it blocked; an answer without output costs our customers nothing.
  {
    name: 'gemini: a blocked prompt',
    format: FORMAT,
    answer: geminiBlocked(BLOCKED, false),
    ...NOT_CHARGED,
    whole: true,
  },
  {
    name: 'gemini: a blocked prompt in a stream',
    format: FORMAT,
    answer: geminiBlocked(BLOCKED, true),
    ...NOT_CHARGED,
  },
]
