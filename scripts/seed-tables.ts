/**
 * What the starter catalog takes from where: the hand-kept half of the seed. Figures that the price package states are
 * not repeated here; figures that it lacks or has stale stand here with the page they come from and its date.
 */

import type { JsonObject } from '../src/kernel/index.ts'

/** The day for which "in force now" and "scheduled" are decided. A fixed date keeps a later run reproducible. */
export const CATALOG_DATE = '2026-11-24'

export const PACKAGE = {
  name: '@pydantic/genai-prices',
  version: '0.1.8',
  /** Its data states no date of its own: the day of the release. */
  date: '2026-09-23',
} as const

/** The settlement price that an ordinary route gets where no vendor publishes one: reference USD × 7.1 × 0.5. */
export const EXAMPLE_RULE = {
  /** 7.1 × 0.5 in hundredths: the factor as an integer, so that no float touches a price. */
  factorHundredths: 355n,
  decimals: 4,
  words:
    'example only, not a vendor price: reference USD x 7.1 x 0.5, rounded half-even to at most 4 decimals; replace it with your own',
} as const

interface Source {
  readonly from: string
  /** The day of which the figures are known to hold. */
  readonly date: string
  readonly url: string
}

/** A price list copied by hand from a vendor's page. */
interface ListPrice {
  readonly source: Source
  readonly price: JsonObject
}

/** Meters that the package does not carry for a model, laid over its price. */
interface ExtraMeters {
  readonly source: Source
  readonly rates: JsonObject
  /** Per tier threshold, as in a price's `above`. */
  readonly above?: Readonly<Record<string, JsonObject>>
}

/** A surcharge on every token for computing in one place. */
export interface PlaceSurcharge {
  readonly source: Source
  /** The rate's name in `service_tiers`, as the provider's answer names the place. */
  readonly place: string
  readonly percent: bigint
}

/** Anthropic's `inference_geo`: from Opus 4.6 and Sonnet 4.6 on; older models refuse it. */
export const US_ONLY: PlaceSurcharge = {
  place: 'us',
  percent: 110n,
  source: {
    from: 'US inference: 1.1x pricing multiplier',
    date: CATALOG_DATE,
    url: 'https://docs.aws.amazon.com/claude-platform/latest/userguide/data-residency.html',
  },
}

export interface SeedEntry {
  /** Folder under seed/models. */
  readonly vendor: string
  readonly model: string
  /** `<provider id>/<model id>` of the package, taken by exact match; or the vendor's own list. */
  readonly usd: { readonly package: string } | { readonly list: ListPrice }
  readonly cny: 'example' | { readonly list: ListPrice }
  readonly extra?: ExtraMeters
  readonly placed?: PlaceSurcharge
}

/** Where a reader checks the reference prices of a package provider. */
export const PRICING_PAGES: Readonly<Record<string, string>> = {
  openai: 'https://developers.openai.com/api/docs/pricing',
  anthropic: 'https://platform.claude.com/docs/en/about-claude/pricing',
  google: 'https://ai.google.dev/gemini-api/docs/pricing',
  moonshotai: 'https://platform.kimi.ai/docs/pricing/chat',
  zai: 'https://docs.z.ai/guides/overview/pricing',
}

/**
 * The package starts the upper OpenAI tier at 271,999 for some models and at 272,000 for others; the vendor's page says
 * "more than 272K input tokens" for all. One token either way doubles a whole request, so the page wins.
 */
export const TIER_START_FIXES: Readonly<Record<number, number>> = { 271999: 272_000 }

const DEEPSEEK_PEAK_DAYS = ['mon', 'tue', 'wed', 'thu', 'fri']

/** Base price off-peak; the two weekday peak windows (09:00-12:00 and 14:00-18:00 in Beijing) cost twice as much. */
function deepseekPrice(offPeak: JsonObject, peak: JsonObject): JsonObject {
  return {
    ...offPeak,
    windows: ['01:00-04:00', '06:00-10:00'].map((utc) => ({ utc, days: DEEPSEEK_PEAK_DAYS, ...peak })),
  }
}

const DEEPSEEK_USD: Source = {
  from: 'DeepSeek Models & Pricing (copy that names DeepSeek-V4.1-Flash-1017)',
  date: '2026-10-17',
  url: 'https://api-docs.deepseek.com/quick_start/pricing',
}
const DEEPSEEK_CNY: Source = {
  ...DEEPSEEK_USD,
  from: 'DeepSeek 模型 & 价格 (copy that names DeepSeek-V4.1-Flash-1017)',
  url: 'https://api-docs.deepseek.com/zh-cn/quick_start/pricing',
}

function qwenUsd(page: string, date: string): Source {
  return {
    from: 'Alibaba Cloud Model Studio, Singapore list price (implicit cache hit, explicit cache creation)',
    date,
    url: `https://www.alibabacloud.com/help/en/model-studio/${page}`,
  }
}
function qwenCny(page: string, date: string): Source {
  return {
    from: 'Alibaba Cloud Bailian, Beijing list price (implicit cache hit, explicit cache creation)',
    date,
    url: `https://help.aliyun.com/zh/model-studio/${page}`,
  }
}

const KIMI_CNY: Source = {
  from: 'Kimi open platform, mainland China list price',
  date: '2026-10-04',
  url: 'https://platform.kimi.com/docs/pricing/chat',
}
const GLM_CNY: Source = {
  from: 'BigModel API pricing, mainland China list price',
  date: '2026-10-04',
  url: 'https://docs.bigmodel.cn/cn/guide/start/pricing',
}

function gpt(model: string): SeedEntry {
  return { vendor: 'openai', model, usd: { package: `openai/${model}` }, cny: 'example' }
}
/** The package has the 30-minute cache write of these models, but not the 12-hour one: twice the input price. */
function gptWithLongCache(model: string, write: string, writeAbove272k: string): SeedEntry {
  return {
    ...gpt(model),
    extra: {
      source: {
        from: 'OpenAI pricing page, 12-hour cache write, as carried by LiteLLM 1.109.1',
        date: '2026-11-24',
        url: 'https://developers.openai.com/api/docs/pricing',
      },
      rates: { cache_write_1h: write },
      above: { '272000': { cache_write_1h: writeAbove272k } },
    },
  }
}
function claude(model: string, placed?: PlaceSurcharge): SeedEntry {
  const entry = {
    vendor: 'anthropic',
    model,
    usd: { package: `anthropic/${model}` },
    cny: 'example',
  } as const
  return placed === undefined ? entry : { ...entry, placed }
}
function gemini(model: string): SeedEntry {
  return { vendor: 'google', model, usd: { package: `google/${model}` }, cny: 'example' }
}
function kimi(model: string, cny: JsonObject): SeedEntry {
  return {
    vendor: 'moonshot',
    model,
    usd: { package: `moonshotai/${model}` },
    cny: { list: { source: KIMI_CNY, price: cny } },
  }
}

export const SEED_ENTRIES: readonly SeedEntry[] = [
  gptWithLongCache('gpt-6-astra', '25', '50'),
  gptWithLongCache('gpt-6-sol', '5', '10'),
  gptWithLongCache('gpt-6-luna', '0.25', '0.5'),
  gptWithLongCache('gpt-5.6-sol', '10', '20'),
  gptWithLongCache('gpt-5.6-terra', '5', '10'),
  gptWithLongCache('gpt-5.6-luna', '0.5', '1'),
  gpt('gpt-5.5'),
  gpt('gpt-5.4'),
  gpt('gpt-5.4-mini'),
  gpt('gpt-5'),
  gpt('gpt-5-mini'),
  gpt('gpt-5-nano'),
  gpt('gpt-4.1'),
  gpt('gpt-4o'),
  gpt('gpt-4o-mini'),
  claude('claude-fable-5-1', US_ONLY),
  claude('claude-opus-5-5', US_ONLY),
  claude('claude-opus-5', US_ONLY),
  claude('claude-sonnet-5', US_ONLY),
  claude('claude-sonnet-4-6', US_ONLY),
  claude('claude-sonnet-4-5'),
  claude('claude-haiku-4-5'),
  gemini('gemini-3.1-pro-preview'),
  gemini('gemini-3.8-flash'),
  gemini('gemini-3.5-flash'),
  gemini('gemini-3.5-flash-lite'),
  gemini('gemini-2.5-pro'),
  gemini('gemini-2.5-flash'),
  gemini('gemini-2.5-flash-lite'),
  {
    vendor: 'deepseek',
    model: 'deepseek-v4-pro',
    usd: {
      list: {
        source: DEEPSEEK_USD,
        price: deepseekPrice(
          { input: '0.66', cache_read: '0.022', output: '1.98' },
          { input: '1.32', cache_read: '0.044', output: '3.96' },
        ),
      },
    },
    cny: {
      list: {
        source: DEEPSEEK_CNY,
        price: deepseekPrice(
          { input: '4.5', cache_read: '0.15', output: '13.5' },
          { input: '9', cache_read: '0.3', output: '27' },
        ),
      },
    },
  },
  {
    vendor: 'deepseek',
    model: 'deepseek-flash',
    usd: {
      list: {
        source: DEEPSEEK_USD,
        price: deepseekPrice(
          { input: '0.15', cache_read: '0.003', output: '0.6' },
          { input: '0.3', cache_read: '0.006', output: '1.2' },
        ),
      },
    },
    cny: {
      list: {
        source: DEEPSEEK_CNY,
        price: deepseekPrice(
          { input: '1', cache_read: '0.02', output: '4' },
          { input: '2', cache_read: '0.04', output: '8' },
        ),
      },
    },
  },
  {
    vendor: 'alibaba',
    model: 'qwen3.8-max',
    usd: {
      list: {
        source: qwenUsd('qwen3-8-max', '2026-08-03'),
        price: { input: '2', cache_read: '0.25', cache_write_5m: '2.5', output: '6' },
      },
    },
    cny: {
      list: {
        source: qwenCny('qwen3-8-max', '2026-08-04'),
        price: { input: '12', cache_read: '1.5', cache_write_5m: '15', output: '36' },
      },
    },
  },
  {
    vendor: 'alibaba',
    model: 'qwen3.8-flash',
    usd: {
      list: {
        source: qwenUsd('qwen3-8-flash', '2026-08-28'),
        price: { input: '0.15', cache_read: '0.016', cache_write_5m: '0.2', output: '0.47' },
      },
    },
    cny: {
      list: {
        source: qwenCny('qwen3-8-flash', '2026-08-28'),
        price: { input: '0.8', cache_read: '0.1', cache_write_5m: '1.25', output: '2.7' },
      },
    },
  },
  {
    vendor: 'alibaba',
    model: 'qwen3.7-max',
    usd: {
      list: {
        source: qwenUsd('models', '2026-11-24'),
        price: { input: '2.5', cache_read: '0.5', cache_write_5m: '3.125', output: '7.5' },
      },
    },
    cny: {
      list: {
        source: qwenCny('model-pricing', '2026-09-19'),
        price: { input: '12', cache_read: '2.4', cache_write_5m: '15', output: '36' },
      },
    },
  },
  {
    ...kimi('kimi-k3', {
      input: '20',
      cache_read: '2',
      cache_write_5m: '20',
      cache_write_1h: '40',
      output: '100',
    }),
    extra: {
      source: {
        from: 'Kimi K3 pricing page, cache writes, as carried by LiteLLM 1.109.1',
        date: '2026-11-24',
        url: 'https://platform.kimi.ai/docs/pricing/chat-k3',
      },
      rates: { cache_write_5m: '3', cache_write_1h: '6' },
    },
  },
  kimi('kimi-k2.7-code', { input: '6.5', cache_read: '1.3', output: '27' }),
  kimi('kimi-k2.6', { input: '6.5', cache_read: '1.1', output: '27' }),
  {
    vendor: 'zhipu',
    model: 'glm-5.3',
    usd: { package: 'zai/GLM-5.3' },
    cny: { list: { source: GLM_CNY, price: { input: '8', cache_read: '2', output: '28' } } },
  },
  {
    vendor: 'zhipu',
    model: 'glm-5.3-flash',
    usd: {
      list: {
        source: {
          from: 'Z.ai list price after the launch discount, as carried by LiteLLM 1.109.1',
          date: '2026-11-24',
          url: 'https://docs.z.ai/guides/overview/pricing',
        },
        price: { input: '0.15', cache_read: '0.03', output: '0.5' },
      },
    },
    cny: { list: { source: GLM_CNY, price: { input: '0.8', cache_read: '0.23', output: '2.8' } } },
  },
  {
    vendor: 'zhipu',
    model: 'glm-5.2',
    usd: { package: 'zai/GLM-5.2' },
    cny: { list: { source: GLM_CNY, price: { input: '8', cache_read: '2', output: '28' } } },
  },
]
