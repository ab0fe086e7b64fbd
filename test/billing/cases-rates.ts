import { chat } from './bodies.ts'
import { type CostCase, SERVED, TIERED } from './cost-case.ts'

const PLAIN = { prompt_tokens: 120, completion_tokens: 40, total_tokens: 160 }
/** 120 × 2,000 and 40 × 8,000. */
const PLAIN_BILL = {
  counts: { input: 120, output: 40 },
  lines: [
    ['input', 120, 240_000n],
    ['output', 40, 320_000n],
  ],
  total: 560_000n,
} as const

const long = (prompt: number, cached = 0) =>
  chat({
    prompt_tokens: prompt,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens: 10,
    total_tokens: prompt + 10,
  })

const tier = (asked: string | null, served: string, more: Partial<CostCase>): CostCase => ({
  name: `chat: asked for ${asked ?? 'nothing'}, served as ${served}`,
  format: 'openai-chat',
  answer: chat(PLAIN, { service_tier: served }),
  ...(asked === null ? {} : { ask: { service_tier: asked } }),
  price: SERVED,
  ...PLAIN_BILL,
  ...more,
})
/** 120 × 1,000 and 40 × 4,000. */
const FLEX_BILL = {
  lines: [
    ['input', 120, 120_000n],
    ['output', 40, 160_000n],
  ],
  total: 280_000n,
} as const
/** 120 × 3,500 and 40 × 14,000. */
const PRIORITY_BILL = {
  lines: [
    ['input', 120, 420_000n],
    ['output', 40, 560_000n],
  ],
  total: 980_000n,
} as const

/** Two windows a day, as DeepSeek has them: 600 and 2,400 instead of 300 and 1,200. */
const PEAK = {
  input: '0.3',
  cache_read: '0.03',
  output: '1.2',
  windows: [
    { utc: '01:00-04:00', input: '0.6', cache_read: '0.06', output: '2.4' },
    { utc: '06:00-10:00', input: '0.6', cache_read: '0.06', output: '2.4' },
  ],
}
const HIT_AND_MISS = chat({
  prompt_tokens: 1000,
  prompt_cache_hit_tokens: 700,
  prompt_cache_miss_tokens: 300,
  prompt_tokens_details: { cached_tokens: 700 },
  completion_tokens: 50,
  total_tokens: 1050,
})

export const RATE_CASES: readonly CostCase[] = [
  {
    name: 'chat: 200,000 of input is not above 200,000',
    format: 'openai-chat',
    answer: long(200_000),
    price: TIERED,
    counts: { input: 200_000, output: 10 },
    lines: [
      ['input', 200_000, 400_000_000n],
      ['output', 10, 80_000n],
    ],
    total: 400_080_000n,
  },
  {
    name: 'chat: one token above 200,000 moves the whole request',
    format: 'openai-chat',
    answer: long(200_001),
    price: TIERED,
    counts: { input: 200_001, output: 10 },
    lines: [
      ['input', 200_001, 800_004_000n],
      ['output', 10, 120_000n],
    ],
    total: 800_124_000n,
  },
  {
    name: 'chat: cached tokens count towards the limit, and have their own price above it',
    format: 'openai-chat',
    answer: long(200_001, 150_000),
    price: TIERED,
    counts: { input: 50_001, cache_read: 150_000, output: 10 },
    lines: [
      ['input', 50_001, 200_004_000n],
      ['cache_read', 150_000, 60_000_000n],
      ['output', 10, 120_000n],
    ],
    total: 260_124_000n,
  },
  {
    name: 'chat: above 272,000 the dearest tier alone holds',
    format: 'openai-chat',
    answer: long(272_001),
    price: TIERED,
    counts: { input: 272_001, output: 10 },
    lines: [
      ['input', 272_001, 1_360_005_000n],
      ['output', 10, 150_000n],
    ],
    total: 1_360_155_000n,
  },
  tier('flex', 'flex', { ...FLEX_BILL, whole: true }),
  tier('flex', 'default', { whole: true }),
  tier('priority', 'priority', PRIORITY_BILL),
  tier('priority', 'default', {}),
  tier('fast', 'priority', { ...PRIORITY_BILL }),
  tier('auto', 'priority', { ...PRIORITY_BILL }),
  tier(null, 'flex', { ...FLEX_BILL }),
  {
    name: 'chat: DeepSeek hits and misses outside its peak hours',
    format: 'openai-chat',
    answer: HIT_AND_MISS,
    price: PEAK,
    at: '2026-11-24T04:00:00Z',
    // 300 × 300, 700 × 30, 50 × 1,200
    counts: { input: 300, cache_read: 700, output: 50 },
    lines: [
      ['input', 300, 90_000n],
      ['cache_read', 700, 21_000n],
      ['output', 50, 60_000n],
    ],
    total: 171_000n,
  },
  {
    name: 'chat: DeepSeek in the last minute of its second peak',
    format: 'openai-chat',
    answer: HIT_AND_MISS,
    price: PEAK,
    at: '2026-11-24T09:59:59Z',
    // 300 × 600, 700 × 60, 50 × 2,400
    counts: { input: 300, cache_read: 700, output: 50 },
    lines: [
      ['input', 300, 180_000n],
      ['cache_read', 700, 42_000n],
      ['output', 50, 120_000n],
    ],
    total: 342_000n,
  },
  {
    name: 'chat: half a nano goes to the even side, a line at a time',
    format: 'openai-chat',
    answer: chat({ prompt_tokens: 1, completion_tokens: 3, total_tokens: 4 }),
    price: { input: '0.0005', output: '0.0005', request: { per: 1000, price: '0.001' } },
    // 0.5 becomes 0, 1.5 becomes 2, and a request is 1,000
    counts: { input: 1, output: 3 },
    lines: [
      ['input', 1, 0n],
      ['output', 3, 2n],
      ['request', 1, 1_000n],
    ],
    total: 1_002n,
  },
]
