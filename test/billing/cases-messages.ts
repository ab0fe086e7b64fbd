import { type Answering, messages, messagesStream } from './bodies.ts'
import { type CostCase, SERVED } from './cost-case.ts'

const FORMAT = 'anthropic-messages'
const PLAIN = { input_tokens: 120, output_tokens: 40 }
const PLAIN_BILL = {
  counts: { input: 120, output: 40 },
  lines: [
    ['input', 120, 240_000n],
    ['output', 40, 320_000n],
  ],
  total: 560_000n,
} as const
/** 100 × 2,000; 200 × 200; 40 × 2,500; 60 × 4,000; 25 × 8,000. */
const ALL_BILL = {
  counts: { input: 100, cache_read: 200, cache_write_5m: 40, cache_write_1h: 60, output: 25 },
  lines: [
    ['input', 100, 200_000n],
    ['cache_read', 200, 40_000n],
    ['cache_write_5m', 40, 100_000n],
    ['cache_write_1h', 60, 240_000n],
    ['output', 25, 200_000n],
  ],
  total: 780_000n,
} as const
const ALL = {
  input_tokens: 100,
  cache_read_input_tokens: 200,
  cache_creation_input_tokens: 100,
  cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 60 },
}
const ADVISED: Answering = (model) =>
  messages({
    input_tokens: 300,
    output_tokens: 50,
    iterations: [
      { type: 'message', model, input_tokens: 300, output_tokens: 50 },
      { type: 'advisor_message', model: 'pilot-major', input_tokens: 70, output_tokens: 20 },
    ],
  })(model)

export const MESSAGES_CASES: readonly CostCase[] = [
  { name: 'messages: nothing but input and output', format: FORMAT, answer: messages(PLAIN), ...PLAIN_BILL },
  {
    name: 'messages: cache read lies beside the input',
    format: FORMAT,
    answer: messages({ input_tokens: 100, cache_read_input_tokens: 50, output_tokens: 30 }),
    counts: { input: 100, cache_read: 50, output: 30 },
    lines: [
      ['input', 100, 200_000n],
      ['cache_read', 50, 10_000n],
      ['output', 30, 240_000n],
    ],
    total: 450_000n,
    whole: true,
  },
  {
    name: 'messages: a write of five minutes',
    format: FORMAT,
    answer: messages({
      input_tokens: 90,
      cache_creation_input_tokens: 64,
      cache_creation: { ephemeral_5m_input_tokens: 64, ephemeral_1h_input_tokens: 0 },
      output_tokens: 30,
    }),
    counts: { input: 90, cache_write_5m: 64, output: 30 },
    lines: [
      ['input', 90, 180_000n],
      ['cache_write_5m', 64, 160_000n],
      ['output', 30, 240_000n],
    ],
    total: 580_000n,
  },
  {
    name: 'messages: writes of five minutes and of an hour, and a read',
    format: FORMAT,
    answer: messages({ ...ALL, output_tokens: 25 }),
    ...ALL_BILL,
    whole: true,
  },
  {
    name: 'messages: the same in a stream, whose last event repeats the total without the split',
    format: FORMAT,
    answer: messagesStream(
      { ...ALL, output_tokens: 1 },
      {
        input_tokens: 100,
        cache_read_input_tokens: 200,
        cache_creation_input_tokens: 100,
        output_tokens: 25,
      },
    ),
    ...ALL_BILL,
    whole: true,
  },
  {
    name: 'messages: a stream that raises the writes without their split is charged the cheaper write',
    format: FORMAT,
    answer: messagesStream(
      { ...ALL, output_tokens: 1 },
      {
        input_tokens: 100,
        cache_read_input_tokens: 200,
        cache_creation_input_tokens: 150,
        output_tokens: 25,
      },
    ),
    // 50 more of five minutes: 90 × 2,500
    counts: { ...ALL_BILL.counts, cache_write_5m: 90 },
    source: 'derived',
    flags: ['cache_write_split_lost'],
    lines: [
      ['input', 100, 200_000n],
      ['cache_read', 200, 40_000n],
      ['cache_write_5m', 90, 225_000n],
      ['cache_write_1h', 60, 240_000n],
      ['output', 25, 200_000n],
    ],
    total: 905_000n,
  },
  {
    name: 'messages: three searches; a page that was fetched costs nothing more',
    format: FORMAT,
    answer: messages({
      input_tokens: 100,
      output_tokens: 30,
      server_tool_use: { web_search_requests: 3, web_fetch_requests: 2 },
    }),
    ask: { tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 5 }] },
    counts: { input: 100, output: 30 },
    searches: 3,
    lines: [
      ['input', 100, 200_000n],
      ['output', 30, 240_000n],
      ['web_search', 3, 30_000_000n],
    ],
    total: 30_440_000n,
    whole: true,
  },
  {
    name: 'messages: thinking is inside the output',
    format: FORMAT,
    answer: messages({ input_tokens: 33, output_tokens: 61, output_tokens_details: { thinking_tokens: 52 } }),
    counts: { input: 33, output: 61 },
    reasoning: 52,
    lines: [
      ['input', 33, 66_000n],
      ['output', 61, 488_000n],
    ],
    total: 554_000n,
  },
  {
    name: 'messages: a compaction is not in the top-level figures, and is charged',
    format: FORMAT,
    answer: messages({
      input_tokens: 80,
      output_tokens: 20,
      iterations: [
        { type: 'compaction', input_tokens: 5000, output_tokens: 300 },
        { type: 'message', input_tokens: 80, output_tokens: 20 },
      ],
    }),
    // 5,080 × 2,000 and 320 × 8,000
    counts: { input: 5080, output: 320 },
    lines: [
      ['input', 5080, 10_160_000n],
      ['output', 320, 2_560_000n],
    ],
    total: 12_720_000n,
  },
  {
    name: 'messages: an advisor is charged at its own price',
    format: FORMAT,
    answer: ADVISED,
    prices: { 'pilot-major': { input: '10', output: '50' } },
    // 300 × 2,000 and 50 × 8,000; 70 × 10,000 and 20 × 50,000
    counts: { input: 300, output: 50 },
    flags: ['other_models_used'],
    lines: [
      ['input', 300, 600_000n],
      ['output', 50, 400_000n],
      ['input (pilot-major)', 70, 700_000n],
      ['output (pilot-major)', 20, 1_000_000n],
    ],
    total: 2_700_000n,
    whole: true,
  },
  {
    name: 'messages: an advisor that the catalog does not know costs what the route costs',
    format: FORMAT,
    answer: ADVISED,
    counts: { input: 300, output: 50 },
    flags: ['other_models_used'],
    lines: [
      ['input', 300, 600_000n],
      ['output', 50, 400_000n],
      ['input (pilot-major)', 70, 140_000n],
      ['output (pilot-major)', 20, 160_000n],
    ],
    total: 1_300_000n,
  },
  {
    name: 'messages: a fallback is charged with what the first model had read',
    format: FORMAT,
    answer: messages({
      input_tokens: 205,
      output_tokens: 88,
      iterations: [
        { type: 'message', model: 'up-main', input_tokens: 201, output_tokens: 0 },
        { type: 'fallback_message', model: 'pilot-minor', input_tokens: 205, output_tokens: 88 },
      ],
    }),
    prices: { 'pilot-minor': { input: '1', output: '5' } },
    // 201 × 2,000; 205 × 1,000 and 88 × 5,000
    counts: { input: 201 },
    flags: ['other_models_used'],
    lines: [
      ['input', 201, 402_000n],
      ['input (pilot-minor)', 205, 205_000n],
      ['output (pilot-minor)', 88, 440_000n],
    ],
    total: 1_047_000n,
  },
  {
    name: 'messages: a retry that the provider repriced is flagged',
    format: FORMAT,
    answer: messages({ ...PLAIN, fallback_credit: { status: 'redeemed' } }),
    ...PLAIN_BILL,
    flags: ['provider_repriced'],
  },
  {
    name: 'messages: fast mode has its own price',
    format: FORMAT,
    answer: messages({ ...PLAIN, service_tier: 'standard', speed: 'fast' }),
    ask: { speed: 'fast' },
    price: SERVED,
    counts: { input: 120, output: 40 },
    // 120 × 12,000 and 40 × 48,000
    lines: [
      ['input', 120, 1_440_000n],
      ['output', 40, 1_920_000n],
    ],
    total: 3_360_000n,
    whole: true,
  },
  {
    name: 'messages: fast mode asked for and not given is charged as what it was',
    format: FORMAT,
    answer: messages({ ...PLAIN, service_tier: 'standard', speed: 'standard' }),
    ask: { speed: 'fast' },
    price: SERVED,
    ...PLAIN_BILL,
  },
  {
    name: 'messages: served as a batch',
    format: FORMAT,
    answer: messages({ ...PLAIN, service_tier: 'batch' }),
    price: SERVED,
    counts: { input: 120, output: 40 },
    lines: [
      ['input', 120, 120_000n],
      ['output', 40, 160_000n],
    ],
    total: 280_000n,
  },
  {
    name: 'messages: inference in one country has a surcharge',
    format: FORMAT,
    answer: messages({ ...PLAIN, inference_geo: 'us' }),
    ask: { inference_geo: 'us' },
    price: { ...SERVED, service_tiers: { us: { input: '2.2', output: '8.8' } } },
    counts: { input: 120, output: 40 },
    // 120 × 2,200 and 40 × 8,800
    lines: [
      ['input', 120, 264_000n],
      ['output', 40, 352_000n],
    ],
    total: 616_000n,
  },
  {
    name: 'messages: a refusal without output is free, though usage is reported',
    format: FORMAT,
    answer: messages({ input_tokens: 18, output_tokens: 2 }, { content: [], stopReason: 'refusal' }),
    counts: { input: 18, output: 2 },
    settlement: 'empty_completion',
    lines: [],
    total: 0n,
  },
  {
    name: 'messages: nothing said and nothing counted is free',
    format: FORMAT,
    answer: messages({ input_tokens: 18, output_tokens: 0 }, { content: [] }),
    counts: { input: 18 },
    settlement: 'empty_completion',
    lines: [],
    total: 0n,
    whole: true,
  },
]
