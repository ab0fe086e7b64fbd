import { responses, responsesStream } from './bodies.ts'
import { type CostCase, PRICE, SERVED, TIERED } from './cost-case.ts'

const FORMAT = 'openai-responses'
const PLAIN = { input_tokens: 120, output_tokens: 40, total_tokens: 160 }
/** 120 × 2,000 and 40 × 8,000. */
const PLAIN_BILL = {
  counts: { input: 120, output: 40 },
  lines: [
    ['input', 120, 240_000n],
    ['output', 40, 320_000n],
  ],
  total: 560_000n,
} as const

export const RESPONSES_CASES: readonly CostCase[] = [
  {
    name: 'responses: nothing but input and output',
    format: FORMAT,
    answer: responses(PLAIN),
    ...PLAIN_BILL,
  },
  {
    name: 'responses: cache, reasoning and output at once',
    format: FORMAT,
    answer: responses({
      input_tokens: 700,
      input_tokens_details: { cached_tokens: 512 },
      output_tokens: 90,
      output_tokens_details: { reasoning_tokens: 64 },
      total_tokens: 790,
    }),
    counts: { input: 188, cache_read: 512, output: 90 },
    reasoning: 64,
    lines: [
      ['input', 188, 376_000n],
      ['cache_read', 512, 102_400n],
      ['output', 90, 720_000n],
    ],
    total: 1_198_400n,
    whole: true,
  },
  {
    name: 'responses: writes for half an hour and for twelve',
    format: FORMAT,
    answer: responses({
      input_tokens: 4000,
      input_tokens_details: {
        cached_tokens: 0,
        cache_write_tokens: 3000,
        cache_write_tokens_details: { ttl_30m_tokens: 1000, ttl_12h_tokens: 2000 },
      },
      output_tokens: 7,
      total_tokens: 4007,
    }),
    counts: { input: 1000, cache_write_5m: 1000, cache_write_1h: 2000, output: 7 },
    lines: [
      ['input', 1000, 2_000_000n],
      ['cache_write_5m', 1000, 2_500_000n],
      ['cache_write_1h', 2000, 8_000_000n],
      ['output', 7, 56_000n],
    ],
    total: 12_556_000n,
    whole: true,
  },
  {
    name: 'responses: three searches that are reported',
    format: FORMAT,
    answer: responses(
      { input_tokens: 100, output_tokens: 30, total_tokens: 130 },
      { tool_usage: { web_search: { num_requests: 3 } } },
    ),
    ask: { tools: [{ type: 'web_search' }] },
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
    name: 'responses: a search that only the output shows; opening a page is none',
    format: FORMAT,
    answer: responses(
      { input_tokens: 100, output_tokens: 30, total_tokens: 130 },
      {
        output: [
          {
            type: 'web_search_call',
            id: 'ws_1',
            status: 'completed',
            action: { type: 'search', query: 'tides' },
          },
          {
            type: 'web_search_call',
            id: 'ws_2',
            status: 'completed',
            action: { type: 'open_page', url: 'x' },
          },
          {
            type: 'message',
            id: 'm',
            role: 'assistant',
            content: [{ type: 'output_text', text: 'High at noon, low at six.' }],
          },
        ],
      },
    ),
    counts: { input: 100, output: 30 },
    searches: 1,
    source: 'derived',
    flags: ['web_searches_counted'],
    lines: [
      ['input', 100, 200_000n],
      ['output', 30, 240_000n],
      ['web_search', 1, 10_000_000n],
    ],
    total: 10_440_000n,
  },
  {
    name: 'responses: flex as asked, in a stream',
    format: FORMAT,
    answer: responses(PLAIN, { service_tier: 'flex' }),
    ask: { service_tier: 'flex' },
    price: SERVED,
    counts: { input: 120, output: 40 },
    // 120 × 1,000 and 40 × 4,000
    lines: [
      ['input', 120, 120_000n],
      ['output', 40, 160_000n],
    ],
    total: 280_000n,
  },
  {
    name: 'responses: above 272,000 of input the whole request is dearer',
    format: FORMAT,
    answer: responses({
      input_tokens: 300_000,
      input_tokens_details: { cached_tokens: 290_000 },
      output_tokens: 10,
      total_tokens: 300_010,
    }),
    price: TIERED,
    // 10,000 × 5,000, 290,000 × 500, 10 × 15,000
    counts: { input: 10_000, cache_read: 290_000, output: 10 },
    lines: [
      ['input', 10_000, 50_000_000n],
      ['cache_read', 290_000, 145_000_000n],
      ['output', 10, 150_000n],
    ],
    total: 195_150_000n,
  },
  { name: 'responses: a stream', format: FORMAT, answer: responsesStream(PLAIN), ...PLAIN_BILL, whole: true },
  {
    name: 'responses: a stream that a limit cut short',
    format: FORMAT,
    answer: responsesStream(PLAIN, 'incomplete'),
    ...PLAIN_BILL,
    price: PRICE,
    whole: true,
  },
  {
    name: 'responses: a stream whose last event is not of the published shape, but has usage',
    format: FORMAT,
    answer: responsesStream(PLAIN, 'unvalidated'),
    ...PLAIN_BILL,
  },
]
