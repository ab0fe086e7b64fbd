import type { Settlement } from '../../src/contract/index.ts'
import type { UsageCounts } from '../../src/kernel/index.ts'
import type { ProtocolName } from '../../src/protocols/index.ts'

/**
 * Every file of an answer → what it is charged: our fixtures, and recordings where they are. Nano a token: input 1,000,
 * cache read 100, writes 1,250 and 2,000, output 10,000, audio 4,000 in and 20,000 out, image 2,000; a search is
 * 10,000,000. What ran on other models costs the same here.
 */

export interface FileRow {
  readonly file: string
  readonly counts: UsageCounts
  readonly nano: bigint
  readonly searches?: number
  readonly others?: UsageCounts
  /** `completed_reported` when left out. */
  readonly settlement?: Settlement
}

export interface FileTable {
  readonly fixtures: readonly FileRow[]
  readonly recorded: readonly FileRow[]
}

export const FILE_TABLES: Readonly<Record<ProtocolName, FileTable>> = {
  'openai-chat': {
    fixtures: [
      {
        file: 'audio.json',
        counts: { input: 15, input_audio: 97, input_image: 8, output: 12, output_audio: 46 },
        nano: 1_459_000n,
      },
      { file: 'cache-read.json', counts: { input: 7, cache_read: 2304, output: 3 }, nano: 267_400n },
      { file: 'cache-write.json', counts: { input: 7, cache_write_5m: 2304, output: 3 }, nano: 2_917_000n },
      { file: 'deepseek-reasoning.json', counts: { input: 27, cache_read: 384, output: 37 }, nano: 435_400n },
      { file: 'function-call.json', counts: { input: 64, output: 16 }, nano: 224_000n },
      { file: 'glm-text.json', counts: { input: 16, output: 18 }, nano: 196_000n },
      { file: 'openrouter-search.json', counts: { input: 2140, output: 14 }, nano: 22_280_000n, searches: 2 },
      { file: 'predictions.json', counts: { input: 90, output: 30 }, nano: 390_000n },
      { file: 'qwen-text.json', counts: { input: 19, output: 10 }, nano: 119_000n },
      { file: 'refusal.json', counts: { input: 33, output: 12 }, nano: 153_000n },
      { file: 'text.json', counts: { input: 21, output: 24 }, nano: 261_000n },
      { file: 'azure-stream.chunks.txt', counts: { input: 31, output: 6 }, nano: 91_000n },
      {
        file: 'deepseek-stream.chunks.txt',
        counts: { input: 42, cache_read: 256, output: 29 },
        nano: 357_600n,
      },
      { file: 'groq-stream.chunks.txt', counts: { input: 83, output: 21 }, nano: 293_000n },
      { file: 'kimi-stream.chunks.txt', counts: { input: 14, output: 11 }, nano: 124_000n },
      { file: 'kimi-usage-in-choice.chunks.txt', counts: { input: 14, output: 3 }, nano: 44_000n },
      {
        file: 'mistral-thinking.chunks.txt',
        counts: { input: 12, cache_read: 32, output: 19 },
        nano: 205_200n,
      },
      { file: 'openrouter-stream-error.sse', counts: { input: 31, output: 8 }, nano: 111_000n },
      {
        file: 'qwen-parallel-tools.chunks.txt',
        counts: { input: 84, cache_read: 128, output: 48 },
        nano: 576_800n,
      },
      { file: 'qwen-stream.chunks.txt', counts: { input: 19, output: 7 }, nano: 89_000n },
      { file: 'stream-tool-call.sse', counts: { input: 61, output: 13 }, nano: 191_000n },
      { file: 'stream-usage.sse', counts: { input: 17, output: 9 }, nano: 107_000n },
      {
        file: 'tool-index-from-1.sse',
        counts: { output: 11 },
        nano: 110_000n,
        settlement: 'completed_estimated',
      },
      { file: 'two-choices-logprobs.chunks.txt', counts: { input: 18, output: 6 }, nano: 78_000n },
      { file: 'xai-stream.chunks.txt', counts: { input: 15, cache_read: 11, output: 119 }, nano: 1_206_100n },
    ],
    recorded: [
      { file: 'deepseek-reasoning.json', counts: { input: 18, output: 345 }, nano: 3_468_000n },
      { file: 'glm-zai.json', counts: { input: 13, output: 369 }, nano: 3_703_000n },
      {
        file: 'openai-chat-cache-1.json',
        counts: { input: 8, cache_write_5m: 4012, output: 4 },
        nano: 5_063_000n,
      },
      { file: 'openai-chat-cache-2.json', counts: { input: 8, cache_read: 4012, output: 4 }, nano: 449_200n },
      { file: 'openai-chat-text.json', counts: { input: 16, output: 363 }, nano: 3_646_000n },
      { file: 'qwen-text.json', counts: { input: 18, output: 1064 }, nano: 10_658_000n },
      {
        file: 'compat-tool-index-from-1.sse',
        counts: { output: 9 },
        nano: 90_000n,
        settlement: 'completed_estimated',
      },
      {
        file: 'deepseek-tool-call.chunks.txt',
        counts: { input: 19, cache_read: 320, output: 83 },
        nano: 881_000n,
      },
      { file: 'kimi-stream.chunks.txt', counts: { input: 9, output: 12 }, nano: 129_000n },
      { file: 'openai-chat-stream.sse', counts: { input: 53, output: 15 }, nano: 203_000n },
      { file: 'openrouter-stream-error.sse', counts: { input: 43, output: 10 }, nano: 143_000n },
    ],
  },
  'openai-responses': {
    fixtures: [
      { file: 'cache-read.json', counts: { input: 38, cache_read: 3072, output: 5 }, nano: 395_200n },
      {
        file: 'cache-write.json',
        counts: { input: 38, cache_write_5m: 1024, cache_write_1h: 2048, output: 4 },
        nano: 5_454_000n,
      },
      { file: 'custom-tool.json', counts: { input: 512, output: 33 }, nano: 842_000n },
      { file: 'image-generation.json', counts: { input: 880, output: 310 }, nano: 3_980_000n },
      { file: 'image-model-beside.json', counts: { input: 120, output: 30 }, nano: 420_000n },
      { file: 'incomplete.json', counts: { input: 19, output: 16 }, nano: 179_000n },
      { file: 'local-shell.json', counts: { input: 210, output: 18 }, nano: 390_000n },
      { file: 'logprobs.json', counts: { input: 12, output: 2 }, nano: 32_000n },
      { file: 'reasoning-encrypted.json', counts: { input: 140, output: 95 }, nano: 1_090_000n },
      { file: 'refusal.json', counts: { input: 31, output: 12 }, nano: 151_000n },
      { file: 'text.json', counts: { input: 23, output: 9 }, nano: 113_000n },
      { file: 'web-search-counted.json', counts: { input: 610, output: 12 }, nano: 10_730_000n, searches: 1 },
      {
        file: 'web-search.json',
        counts: { input: 3186, cache_read: 1024, output: 88 },
        nano: 24_168_400n,
        searches: 2,
      },
      { file: 'parallel-tools.chunks.txt', counts: { input: 88, output: 41 }, nano: 498_000n },
      { file: 'stream-custom-tool.sse', counts: { input: 640, output: 27 }, nano: 910_000n },
      { file: 'stream-failed.sse', counts: { output: 2 }, nano: 20_000n, settlement: 'completed_estimated' },
      { file: 'stream-incomplete.sse', counts: { input: 14, output: 16 }, nano: 174_000n },
      { file: 'stream-parallel-tools.sse', counts: { input: 88, output: 41 }, nano: 498_000n },
      {
        file: 'stream-reasoning-crlf.sse',
        counts: { input: 23, cache_read: 2048, output: 130 },
        nano: 1_527_800n,
      },
      { file: 'stream-refusal.sse', counts: { input: 30, output: 8 }, nano: 110_000n },
      { file: 'stream-text.sse', counts: { input: 27, output: 11 }, nano: 137_000n },
      { file: 'stream-whole-items.sse', counts: { input: 20, output: 6 }, nano: 80_000n },
    ],
    recorded: [
      {
        file: 'openai-responses-cache-e2e.json',
        counts: { input: 8, cache_write_5m: 4012, output: 5 },
        nano: 5_073_000n,
      },
      { file: 'openai-responses-image-gen.json', counts: { input: 3151, output: 1970 }, nano: 22_851_000n },
      {
        file: 'openai-responses-reasoning-encrypted.json',
        counts: { input: 865, output: 163 },
        nano: 2_495_000n,
      },
      {
        file: 'openai-responses-parallel-tools.chunks.txt',
        counts: { output: 43 },
        nano: 430_000n,
        settlement: 'completed_estimated',
      },
      { file: 'openai-responses-stream-usage.sse', counts: { input: 53, output: 469 }, nano: 4_743_000n },
    ],
  },
  'anthropic-messages': {
    fixtures: [
      {
        file: 'advisor.json',
        counts: { input: 905, output: 212 },
        nano: 7_555_000n,
        others: { input: 1100, cache_read: 50, cache_write_5m: 20, output: 340 },
      },
      {
        file: 'cache-write.json',
        counts: { input: 4, cache_read: 600, cache_write_5m: 500, cache_write_1h: 2000, output: 9 },
        nano: 4_779_000n,
      },
      { file: 'compaction.json', counts: { input: 51_320, output: 284 }, nano: 54_160_000n },
      { file: 'fallback.json', counts: { input: 201 }, nano: 1_286_000n, others: { input: 205, output: 88 } },
      { file: 'fast-repriced.json', counts: { input: 30, output: 5 }, nano: 80_000n },
      { file: 'reasoning.json', counts: { input: 33, output: 61 }, nano: 643_000n },
      {
        file: 'refusal-empty.json',
        counts: { input: 18, output: 2 },
        nano: 0n,
        settlement: 'empty_completion',
      },
      { file: 'tool-use.json', counts: { input: 210, output: 44 }, nano: 650_000n },
      { file: 'web-search.json', counts: { input: 9120, output: 143 }, nano: 40_550_000n, searches: 3 },
      {
        file: 'cache-split-lost.chunks.txt',
        counts: { input: 1530, cache_read: 1300, cache_write_5m: 800, cache_write_1h: 300, output: 52 },
        nano: 13_780_000n,
        searches: 1,
      },
      { file: 'crlf-comments.sse', counts: { input: 7, output: 5 }, nano: 57_000n },
      { file: 'delta-raises-input.chunks.txt', counts: { input: 66, output: 12 }, nano: 186_000n },
      { file: 'duplicate-message-start.chunks.txt', counts: { input: 29, output: 6 }, nano: 89_000n },
      { file: 'length-cut.chunks.txt', counts: { input: 15, output: 4 }, nano: 55_000n },
      {
        file: 'parallel-tools.chunks.txt',
        counts: { input: 88, cache_read: 1024, output: 96 },
        nano: 1_150_400n,
      },
      {
        file: 'refusal.chunks.txt',
        counts: { input: 23, output: 4 },
        nano: 0n,
        settlement: 'empty_completion',
      },
      { file: 'spliced-message-start.chunks.txt', counts: { input: 41, output: 9 }, nano: 131_000n },
      { file: 'stream-error.sse', counts: { input: 9, output: 4 }, nano: 49_000n },
      { file: 'text.chunks.txt', counts: { input: 19, output: 14 }, nano: 159_000n },
      { file: 'thinking-stream.sse', counts: { input: 51, output: 33 }, nano: 381_000n },
      { file: 'tool-no-args.chunks.txt', counts: { input: 431, output: 37 }, nano: 801_000n },
    ],
    recorded: [
      {
        file: 'anthropic-advisor.json',
        counts: { input: 2414, output: 3200 },
        nano: 45_882_000n,
        others: { input: 2728, output: 874 },
      },
      {
        file: 'anthropic-cache-write.json',
        counts: { input: 3, cache_read: 1111, output: 406 },
        nano: 4_174_100n,
      },
      { file: 'anthropic-compaction.json', counts: { input: 61_067, output: 1912 }, nano: 80_187_000n },
      {
        file: 'anthropic-fallback.json',
        counts: { input: 408 },
        nano: 3_460_000n,
        others: { input: 412, output: 264 },
      },
      { file: 'anthropic-opus5-reasoning.json', counts: { input: 51, output: 1699 }, nano: 17_041_000n },
      {
        file: 'anthropic-web-search.json',
        counts: { input: 27_118, output: 600 },
        nano: 53_118_000n,
        searches: 2,
      },
      {
        file: 'anthropic-duplicate-message-start.chunks.txt',
        counts: { input: 17, output: 227 },
        nano: 2_287_000n,
      },
      {
        file: 'anthropic-refusal.chunks.txt',
        counts: { input: 18, output: 5 },
        nano: 0n,
        settlement: 'empty_completion',
      },
      { file: 'anthropic-text.chunks.txt', counts: { input: 12, output: 30 }, nano: 312_000n },
      { file: 'anthropic-thinking-stream.sse', counts: { input: 43, output: 282 }, nano: 2_863_000n },
      { file: 'anthropic-tool-no-args.chunks.txt', counts: { input: 565, output: 48 }, nano: 1_045_000n },
    ],
  },
  'gemini-generate': {
    fixtures: [
      { file: 'blocked-prompt.json', counts: { input: 17 }, nano: 0n, settlement: 'empty_completion' },
      {
        file: 'cached-media.json',
        counts: { input: 584, cache_read: 3000, input_audio: 900, input_image: 516, output: 20 },
        nano: 5_716_000n,
      },
      { file: 'cached-untold.json', counts: { input: 600, cache_read: 300, output: 2 }, nano: 650_000n },
      { file: 'code-execution.json', counts: { input: 64, output: 30 }, nano: 364_000n },
      { file: 'grounded.json', counts: { input: 117, output: 52 }, nano: 20_637_000n, searches: 2 },
      // A picture of 1,296 tokens in fewer bytes than that: the fixture is no picture.
      {
        file: 'image.json',
        counts: { input: 9, output: 849 },
        nano: 8_499_000n,
        settlement: 'completed_bounded',
      },
      { file: 'max-tokens-empty.json', counts: { input: 21, output: 8 }, nano: 101_000n },
      { file: 'model-armor.json', counts: { input: 19, output: 33 }, nano: 349_000n },
      { file: 'parallel-calls.json', counts: { input: 40, output: 25 }, nano: 290_000n },
      { file: 'relay-thoughts-inside.json', counts: { input: 10, output: 50 }, nano: 510_000n },
      { file: 'safety.json', counts: { input: 13 }, nano: 0n, settlement: 'empty_completion' },
      { file: 'speech.json', counts: { input: 8, output_audio: 75 }, nano: 1_508_000n },
      { file: 'text.json', counts: { input: 12, output: 51 }, nano: 522_000n },
      { file: 'two-candidates-logprobs.json', counts: { input: 6, output: 2 }, nano: 26_000n },
      { file: 'grounded.chunks.txt', counts: { input: 117, output: 52 }, nano: 20_637_000n, searches: 2 },
      { file: 'stream-error.sse', counts: { input: 9, output: 2 }, nano: 29_000n },
      { file: 'stream.sse', counts: { input: 16, output: 53 }, nano: 546_000n },
      { file: 'thinking.chunks.txt', counts: { input: 11, output: 102 }, nano: 1_031_000n },
      { file: 'tool-call.chunks.txt', counts: { input: 31, output: 254 }, nano: 2_571_000n },
      { file: 'vertex.chunks.txt', counts: { input: 4, output: 3 }, nano: 34_000n },
    ],
    recorded: [
      { file: 'gemini-max-tokens-empty.json', counts: { input: 15, output: 2 }, nano: 35_000n },
      {
        file: 'gemini-safety-settings.json',
        counts: { input: 14 },
        nano: 0n,
        settlement: 'empty_completion',
      },
      { file: 'gemini-reasoning3.chunks.txt', counts: { input: 9, output: 325 }, nano: 3_259_000n },
      { file: 'gemini-stream-crlf.sse', counts: { input: 18, output: 115 }, nano: 1_168_000n },
      { file: 'gemini-tool-call3.chunks.txt', counts: { input: 29, output: 819 }, nano: 8_219_000n },
    ],
  },
}
