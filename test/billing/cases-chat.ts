import { chat, chatStream } from './bodies.ts'
import { type CostCase, PRICE } from './cost-case.ts'

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

const BASICS: readonly CostCase[] = [
  {
    name: 'chat: nothing but input and output',
    format: 'openai-chat',
    answer: chat(PLAIN),
    ...PLAIN_BILL,
    whole: true,
  },
  {
    name: 'chat: cached tokens lie inside the prompt',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 1500,
      prompt_tokens_details: { cached_tokens: 1200 },
      completion_tokens: 30,
      total_tokens: 1530,
    }),
    counts: { input: 300, cache_read: 1200, output: 30 },
    lines: [
      ['input', 300, 600_000n],
      ['cache_read', 1200, 240_000n],
      ['output', 30, 240_000n],
    ],
    total: 1_080_000n,
    whole: true,
  },
  {
    name: 'chat: written cache lies inside the prompt as well',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 2000,
      prompt_tokens_details: { cached_tokens: 500, cache_write_tokens: 1400 },
      completion_tokens: 10,
      total_tokens: 2010,
    }),
    counts: { input: 100, cache_read: 500, cache_write_5m: 1400, output: 10 },
    lines: [
      ['input', 100, 200_000n],
      ['cache_read', 500, 100_000n],
      ['cache_write_5m', 1400, 3_500_000n],
      ['output', 10, 80_000n],
    ],
    total: 3_880_000n,
  },
  {
    name: 'chat: reasoning inside the output is not charged twice',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 50,
      completion_tokens: 90,
      completion_tokens_details: { reasoning_tokens: 60 },
      total_tokens: 140,
    }),
    counts: { input: 50, output: 90 },
    reasoning: 60,
    lines: [
      ['input', 50, 100_000n],
      ['output', 90, 720_000n],
    ],
    total: 820_000n,
    whole: true,
  },
  {
    name: 'chat: xAI reports reasoning beside the output, and a cost of its own that is not ours',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 60,
      completion_tokens: 4,
      completion_tokens_details: { reasoning_tokens: 200 },
      total_tokens: 264,
      cost_in_usd_ticks: 99_887_766,
    }),
    counts: { input: 60, output: 204 },
    reasoning: 200,
    source: 'derived',
    flags: ['reasoning_outside_output'],
    lines: [
      ['input', 60, 120_000n],
      ['output', 204, 1_632_000n],
    ],
    total: 1_752_000n,
    whole: true,
  },
  {
    name: 'chat: audio both ways',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 200,
      prompt_tokens_details: { audio_tokens: 80 },
      completion_tokens: 70,
      completion_tokens_details: { audio_tokens: 45 },
      total_tokens: 270,
    }),
    counts: { input: 120, input_audio: 80, output: 25, output_audio: 45 },
    lines: [
      ['input', 120, 240_000n],
      ['output', 25, 200_000n],
      ['input_audio', 80, 1_280_000n],
      ['output_audio', 45, 1_440_000n],
    ],
    total: 3_160_000n,
    whole: true,
  },
  {
    name: 'chat: tokens of an image',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 500,
      prompt_tokens_details: { image_tokens: 320 },
      completion_tokens: 20,
      total_tokens: 520,
    }),
    counts: { input: 180, input_image: 320, output: 20 },
    lines: [
      ['input', 180, 360_000n],
      ['output', 20, 160_000n],
      ['input_image', 320, 960_000n],
    ],
    total: 1_480_000n,
  },
  {
    name: 'chat: rejected predictions are output',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 40,
      completion_tokens: 120,
      completion_tokens_details: { accepted_prediction_tokens: 30, rejected_prediction_tokens: 50 },
      total_tokens: 160,
    }),
    counts: { input: 40, output: 120 },
    lines: [
      ['input', 40, 80_000n],
      ['output', 120, 960_000n],
    ],
    total: 1_040_000n,
  },
  {
    name: 'chat: everything at once',
    format: 'openai-chat',
    // 1,000 = 410 plain + 200 cached + 300 written (100 of them for long) + 90 audio; 80 = 65 + 15 audio
    answer: chat({
      prompt_tokens: 1000,
      prompt_tokens_details: {
        cached_tokens: 200,
        cache_write_tokens: 300,
        cache_write_tokens_details: { ttl_30m_tokens: 200, ttl_12h_tokens: 100 },
        audio_tokens: 90,
      },
      completion_tokens: 80,
      completion_tokens_details: { reasoning_tokens: 33, audio_tokens: 15 },
      total_tokens: 1080,
    }),
    counts: {
      input: 410,
      cache_read: 200,
      cache_write_5m: 200,
      cache_write_1h: 100,
      input_audio: 90,
      output: 65,
      output_audio: 15,
    },
    reasoning: 33,
    lines: [
      ['input', 410, 820_000n],
      ['cache_read', 200, 40_000n],
      ['cache_write_5m', 200, 500_000n],
      ['cache_write_1h', 100, 400_000n],
      ['output', 65, 520_000n],
      ['input_audio', 90, 1_440_000n],
      ['output_audio', 15, 480_000n],
    ],
    total: 4_200_000n,
    whole: true,
  },
  {
    name: 'chat: a compatible server with a cache and no details of the output',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 130,
      prompt_tokens_details: { cached_tokens: 48 },
      completion_tokens: 27,
      total_tokens: 157,
    }),
    counts: { input: 82, cache_read: 48, output: 27 },
    lines: [
      ['input', 82, 164_000n],
      ['cache_read', 48, 9_600n],
      ['output', 27, 216_000n],
    ],
    total: 389_600n,
  },
]

const SHAPES: readonly CostCase[] = [
  {
    name: 'chat: a search is a line of its own',
    format: 'openai-chat',
    answer: chat({
      prompt_tokens: 100,
      completion_tokens: 30,
      total_tokens: 130,
      server_tool_use_details: { web_search_requests: 1 },
    }),
    counts: { input: 100, output: 30 },
    searches: 1,
    lines: [
      ['input', 100, 200_000n],
      ['output', 30, 240_000n],
      ['web_search', 1, 10_000_000n],
    ],
    total: 10_440_000n,
  },
  { name: 'chat: a stream', format: 'openai-chat', answer: chatStream(PLAIN), ...PLAIN_BILL, whole: true },
  {
    name: 'chat: answered by another model',
    format: 'openai-chat',
    answer: chat(PLAIN),
    answeredBy: 'someone-else-9b',
    ...PLAIN_BILL,
    flags: ['model_mismatch'],
    whole: true,
  },
  {
    name: 'chat: a stream of another model',
    format: 'openai-chat',
    answer: chatStream(PLAIN),
    answeredBy: 'someone-else-9b',
    ...PLAIN_BILL,
    flags: ['model_mismatch'],
    whole: true,
  },
  { name: 'chat: a tool call', format: 'openai-chat', answer: chat(PLAIN, {}, true), ...PLAIN_BILL },
  {
    name: 'chat: a tool call in a stream',
    format: 'openai-chat',
    answer: chatStream({ prompt_tokens: 80, completion_tokens: 25, total_tokens: 105 }, true),
    counts: { input: 80, output: 25 },
    lines: [
      ['input', 80, 160_000n],
      ['output', 25, 200_000n],
    ],
    total: 360_000n,
    price: PRICE,
  },
  {
    name: 'chat: no output and no tokens of it cost nothing',
    format: 'openai-chat',
    answer: chat(
      { prompt_tokens: 90, completion_tokens: 0, total_tokens: 90 },
      { choices: [{ index: 0, message: { role: 'assistant', content: '' }, finish_reason: 'stop' }] },
    ),
    counts: { input: 90 },
    settlement: 'empty_completion',
    lines: [],
    total: 0n,
    whole: true,
  },
]

export const CHAT_CASES: readonly CostCase[] = [...BASICS, ...SHAPES]
