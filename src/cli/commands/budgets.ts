import { BUDGET_PERIODS, BUDGET_SCOPES, type BudgetView } from '../../contract/index.ts'
import { type Command, givenFlag, oneOf, textFlag } from '../command.ts'
import { listText, pairs } from '../text.ts'
import { LIMITS_OPTIONS, limitPlace, limitsExplain, limitsQuery, PLACE_OPTIONS } from './limit-place.ts'

function budgetText(budget: BudgetView): string {
  return pairs([
    ['id', budget.id],
    ['scope', `${budget.scope} ${budget.scope_id}`],
    ['amount', `${budget.amount} ${budget.currency} of ${budget.bucket}, ${budget.period}`],
    ['kind', budget.hard ? 'hard (refuses)' : 'soft (tells)'],
    ['used', `${budget.used} ${budget.currency}`],
    ['held', `${budget.held} ${budget.currency}`],
    ['resets', budget.resets_at ?? 'never'],
    ...(budget.ended_at === null ? [] : [['ended', budget.ended_at] as [string, string]]),
  ])
}

const budgetSet: Command = {
  words: ['budget', 'set'],
  summary: 'Limits what may be spent; changes the budget that is in force there, if any',
  args: [],
  options: {
    ...PLACE_OPTIONS,
    bucket: { type: 'string' },
    amount: { type: 'string' },
    period: { type: 'string' },
    soft: { type: 'boolean' },
  },
  required: ['scope', 'id', 'bucket', 'amount'],
  explain: {
    scope: BUDGET_SCOPES.join(', '),
    id: 'org_…, prj_…, key_…, run_…, or a route: its name, type, or model:route',
    org: 'the organization, for a route',
    bucket: 'credit, rmb or another configured one',
    amount: 'a decimal in the currency of the bucket',
    period: `${BUDGET_PERIODS.join(', ')} (total for a run, else month)`,
    soft: 'tells at 50, 80 and 100 %, and refuses nothing',
  },
  example: 'forge budget set --scope key --id key_… --bucket credit --amount 20.00 --period day',
  async run({ flags, client }) {
    const { organization, ...place } = limitPlace(flags, BUDGET_SCOPES)
    const period =
      oneOf('period', BUDGET_PERIODS, textFlag(flags, 'period')) ??
      (place.scope === 'run' ? 'total' : 'month')
    const [bucket, amount] = [givenFlag(flags, 'bucket'), givenFlag(flags, 'amount')]
    const hard = flags['soft'] !== true
    const forge = await client()
    const { data } = await forge.listBudgets({ ...place, organization, limit: 200 })
    const known = data.find((one) => one.bucket === bucket && one.period === period && one.hard === hard)
    const value =
      known === undefined
        ? await forge.createBudget({
            ...place,
            bucket,
            amount,
            period,
            hard,
            ...(organization === undefined ? {} : { organization }),
          })
        : await forge.changeBudget(known.id, { amount })
    return { value, text: budgetText(value) }
  },
}

const budgetList: Command = {
  words: ['budget', 'list'],
  summary: 'Lists budgets with what is used and held of them, newest first',
  args: [],
  options: LIMITS_OPTIONS,
  explain: limitsExplain(BUDGET_SCOPES),
  example: 'forge budget list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listBudgets(limitsQuery(flags, BUDGET_SCOPES))
    const rows = value.data.map((budget) => [
      budget.id,
      `${budget.scope} ${budget.scope_id}`,
      budget.bucket,
      budget.period,
      budget.hard ? 'hard' : 'soft',
      `${budget.amount} ${budget.currency}`,
      budget.used,
      budget.held,
      budget.ended_at === null ? (budget.resets_at ?? 'never') : 'ended',
    ])
    const head = ['id', 'scope', 'bucket', 'period', 'kind', 'amount', 'used', 'held', 'resets']
    return { value, text: listText(head, rows, value.next_cursor) }
  },
}

const budgetEnd: Command = {
  words: ['budget', 'end'],
  summary: 'Ends a budget; its record stays',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge budget end bud_…',
  async run({ args, client }) {
    const value = await (await client()).endBudget(args[0] ?? '')
    return { value, text: budgetText(value) }
  },
}

export const BUDGET_COMMANDS: readonly Command[] = [budgetSet, budgetList, budgetEnd]
