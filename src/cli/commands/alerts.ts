import { type AlertRuleView, type NewAlertRule, RULE_KINDS } from '../../contract/index.ts'
import { isObject, parseJson } from '../../kernel/index.ts'
import { type Command, givenFlag, listFlag, textFlag, UsageError } from '../command.ts'
import { listText, pairs } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const alertList: Command = {
  words: ['alert', 'list'],
  summary: 'Lists alerts with what happened and what to do, newest first',
  args: [],
  options: { org: { type: 'string' }, rule: { type: 'string' }, open: { type: 'boolean' }, ...PAGE_OPTIONS },
  explain: {
    org: 'only those of this organization',
    rule: 'only those of this rule (alr_…)',
    open: 'only those that still hold',
    ...PAGE_EXPLAIN,
  },
  example: 'forge alert list --open',
  async run({ flags, client, language }) {
    const value = await (await client()).listAlerts({
      organization: textFlag(flags, 'org'),
      rule: textFlag(flags, 'rule'),
      open: flags['open'] === true ? 'true' : undefined,
      ...pageQuery(flags),
    })
    const rows = value.data.map((alert) => [
      alert.id,
      alert.raised_at,
      alert.acknowledged_at === null ? alert.state : `${alert.state}, seen`,
      alert.kind,
      alert.text[language],
    ])
    return { value, text: listText(['id', 'raised', 'state', 'kind', 'what'], rows, value.next_cursor) }
  },
}

const alertAck: Command = {
  words: ['alert', 'ack'],
  summary: 'Says that somebody has seen an alert',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge alert ack alt_…',
  async run({ args, client, language }) {
    const value = await (await client()).acknowledgeAlert(args[0] ?? '')
    return {
      value,
      text: `${value.text[language]}\nSeen ${value.acknowledged_at} by ${value.acknowledged_by}.`,
    }
  },
}

function ruleText(rule: AlertRuleView): string {
  return pairs([
    ['id', rule.id],
    ['kind', rule.kind],
    ['parameters', JSON.stringify(rule.parameters)],
    ['emails', rule.emails.join(', ')],
    ['state', rule.state],
  ])
}

function parametersOf(text: string): object {
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value)) throw new UsageError('--parameters must be a JSON object')
  return parsed.value
}

const ruleCreate: Command = {
  words: ['alert-rule', 'create'],
  summary: 'Makes an alert rule; it looks every minute',
  args: ['KIND'],
  options: {
    org: { type: 'string' },
    parameters: { type: 'string' },
    emails: { type: 'string' },
    language: { type: 'string' },
    description: { type: 'string' },
    cooldown: { type: 'string' },
  },
  required: ['org', 'parameters'],
  explain: {
    org: 'the organization (org_…)',
    parameters: `JSON, as docs/alerts.md says for the kind (${RULE_KINDS.join(', ')})`,
    emails: 'who is told, separated by commas',
    language: 'of the mails: en or zh',
    description: 'for people',
    cooldown: 'minutes of silence after an alert (15)',
  },
  example: `forge alert-rule create balance --org org_… --parameters '{"bucket": "credit", "below": "5"}'`,
  async run({ args, flags, client }) {
    const [description, emails, lang, cooldown] = [
      textFlag(flags, 'description'),
      listFlag(flags, 'emails'),
      textFlag(flags, 'language'),
      textFlag(flags, 'cooldown'),
    ]
    const body = {
      organization: givenFlag(flags, 'org'),
      kind: args[0],
      parameters: parametersOf(givenFlag(flags, 'parameters')),
      ...(description === undefined ? {} : { description }),
      ...(emails === undefined ? {} : { emails }),
      ...(lang === undefined ? {} : { language: lang }),
      ...(cooldown === undefined ? {} : { cooldown_minutes: Number.parseInt(cooldown, 10) }),
    }
    // The server checks it against the kind, and says what is wrong where.
    const value = await (await client()).createAlertRule(body as NewAlertRule)
    return { value, text: ruleText(value) }
  },
}

const ruleList: Command = {
  words: ['alert-rule', 'list'],
  summary: 'Lists alert rules, newest first',
  args: [],
  options: { org: { type: 'string' }, ended: { type: 'boolean' }, ...PAGE_OPTIONS },
  explain: { org: 'only those of this organization', ended: 'also those that were ended', ...PAGE_EXPLAIN },
  example: 'forge alert-rule list --org org_…',
  async run({ flags, client }) {
    const value = await (await client()).listAlertRules({
      organization: textFlag(flags, 'org'),
      ended: flags['ended'] === true ? 'true' : undefined,
      ...pageQuery(flags),
    })
    const rows = value.data.map(({ id, state, kind, parameters }) => [
      id,
      state,
      kind,
      JSON.stringify(parameters),
    ])
    return { value, text: listText(['id', 'state', 'kind', 'parameters'], rows, value.next_cursor) }
  },
}

const ruleState = (word: string, to: 'active' | 'paused', summary: string): Command => ({
  words: ['alert-rule', word],
  summary,
  args: ['ID'],
  options: {},
  explain: {},
  example: `forge alert-rule ${word} alr_…`,
  async run({ args, client }) {
    const value = await (await client()).changeAlertRule(args[0] ?? '', { state: to })
    return { value, text: ruleText(value) }
  },
})

const ruleEnd: Command = {
  words: ['alert-rule', 'end'],
  summary: 'Ends an alert rule and its open alerts',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge alert-rule end alr_…',
  async run({ args, client }) {
    const value = await (await client()).endAlertRule(args[0] ?? '')
    return { value, text: ruleText(value) }
  },
}

const eventList: Command = {
  words: ['event', 'list'],
  summary: 'Lists what happened, newest first',
  args: [],
  options: { org: { type: 'string' }, type: { type: 'string' }, since: { type: 'string' }, ...PAGE_OPTIONS },
  explain: {
    org: 'only in this organization',
    type: 'only of this type, e.g. budget.reached',
    since: 'RFC 3339',
    ...PAGE_EXPLAIN,
  },
  example: 'forge event list --type key.exposed',
  async run({ flags, client }) {
    const value = await (await client()).listEvents({
      organization: textFlag(flags, 'org'),
      type: textFlag(flags, 'type'),
      since: textFlag(flags, 'since'),
      ...pageQuery(flags),
    })
    const rows = value.data.map(({ id, timestamp, type, data }) => [
      timestamp,
      type,
      id,
      JSON.stringify(data),
    ])
    return { value, text: listText(['at', 'type', 'id', 'what'], rows, value.next_cursor) }
  },
}

export const ALERT_COMMANDS: readonly Command[] = [
  eventList,
  alertList,
  alertAck,
  ruleCreate,
  ruleList,
  ruleState('pause', 'paused', 'Looks no more until the rule is resumed; ends its open alerts'),
  ruleState('resume', 'active', 'Looks again'),
  ruleEnd,
]
