import { RATE_MEASURES, RATE_SCOPES, type RateLimitView } from '../../contract/index.ts'
import { type Command, type Flags, textFlag, UsageError } from '../command.ts'
import { listText, pairs } from '../text.ts'
import { LIMITS_OPTIONS, limitPlace, limitsExplain, limitsQuery, PLACE_OPTIONS } from './limit-place.ts'

const MEASURE_FLAGS = {
  rpm: 'requests_per_minute',
  tpm: 'tokens_per_minute',
  concurrency: 'concurrency',
} as const satisfies Record<string, (typeof RATE_MEASURES)[number]>

function shown(amount: number | null): string {
  return amount === null ? '-' : String(amount)
}

function limitText(limit: RateLimitView): string {
  return pairs([
    ['id', limit.id],
    ['scope', `${limit.scope} ${limit.scope_id}`],
    ['requests a minute', shown(limit.requests_per_minute)],
    ['tokens a minute', shown(limit.tokens_per_minute)],
    ['at one time', shown(limit.concurrency)],
    ...(limit.ended_at === null ? [] : [['ended', limit.ended_at] as [string, string]]),
  ])
}

type Amounts = Partial<Record<(typeof RATE_MEASURES)[number], number | null>>

function amountOf(flag: string, text: string): number | null {
  if (text === 'none') return null
  if (!/^\d{1,13}$/.test(text)) throw new UsageError(`--${flag} takes a whole number, or "none"`)
  return Number.parseInt(text, 10)
}

/** Only what was named; `none` takes a limit away. */
function amountsOf(flags: Flags): Amounts {
  const amounts: Amounts = {}
  for (const [flag, measure] of Object.entries(MEASURE_FLAGS)) {
    const text = textFlag(flags, flag)
    if (text !== undefined) amounts[measure] = amountOf(flag, text)
  }
  return amounts
}

const rateSet: Command = {
  words: ['rate-limit', 'set'],
  summary: 'Limits requests and tokens a minute, and requests at one time; changes the limit that is there',
  args: [],
  options: {
    ...PLACE_OPTIONS,
    rpm: { type: 'string' },
    tpm: { type: 'string' },
    concurrency: { type: 'string' },
  },
  required: ['scope', 'id'],
  explain: {
    scope: RATE_SCOPES.join(', '),
    id: 'org_…, prj_…, key_…, or a route: its name, type, or model:route',
    org: 'the organization, for a route',
    rpm: 'requests in any 60 seconds; none takes the limit away',
    tpm: 'tokens in any 60 seconds, input and output; none takes the limit away',
    concurrency: 'requests at one time; none takes the limit away',
  },
  example: 'forge rate-limit set --scope key --id key_… --rpm 60 --tpm 100000 --concurrency 8',
  async run({ flags, client }) {
    const { organization, ...place } = limitPlace(flags, RATE_SCOPES)
    const amounts = amountsOf(flags)
    if (Object.keys(amounts).length === 0)
      throw new UsageError('Name at least one of --rpm, --tpm and --concurrency')
    const forge = await client()
    const { data } = await forge.listRateLimits({ ...place, organization, limit: 1 })
    const known = data[0]
    const value =
      known === undefined
        ? await forge.createRateLimit({
            ...place,
            ...amounts,
            ...(organization === undefined ? {} : { organization }),
          })
        : await forge.changeRateLimit(known.id, amounts)
    return { value, text: limitText(value) }
  },
}

const rateList: Command = {
  words: ['rate-limit', 'list'],
  summary: 'Lists rate limits, newest first',
  args: [],
  options: LIMITS_OPTIONS,
  explain: limitsExplain(RATE_SCOPES),
  example: 'forge rate-limit list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listRateLimits(limitsQuery(flags, RATE_SCOPES))
    const rows = value.data.map((limit) => [
      limit.id,
      `${limit.scope} ${limit.scope_id}`,
      ...RATE_MEASURES.map((measure) => shown(limit[measure])),
      limit.ended_at === null ? 'in force' : 'ended',
    ])
    const head = ['id', 'scope', 'requests/min', 'tokens/min', 'at one time', 'state']
    return { value, text: listText(head, rows, value.next_cursor) }
  },
}

const rateEnd: Command = {
  words: ['rate-limit', 'end'],
  summary: 'Ends a rate limit; its record stays',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge rate-limit end rl_…',
  async run({ args, client }) {
    const value = await (await client()).endRateLimit(args[0] ?? '')
    return { value, text: limitText(value) }
  },
}

export const RATE_COMMANDS: readonly Command[] = [rateSet, rateList, rateEnd]
