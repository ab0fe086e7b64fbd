import { z } from 'zod'
import type { Rule, RuleSettings, RuleTerms } from '../../alerts/index.ts'
import {
  type AlertRuleChange,
  type AlertRuleView,
  type AlertScope,
  alertRuleChangeSchema,
  alertRuleSchema,
  endableQuery,
  FaultError,
  fault,
  listOf,
  newAlertRuleSchema,
  RULE_PARAMETERS,
} from '../../contract/index.ts'
import { formatId, type IdPrefix, isoTime, type Json, type Uuid } from '../../kernel/index.ts'
import { type Actor, recordEvent } from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, idOf, notFound, organizationOf, pageOf, scopeOf } from '../scope.ts'
import { validate } from '../validate.ts'
import { bucketOf } from './money-of.ts'

const nothing = z.strictObject({})
const byId = z.strictObject({ id: z.string() })
const COOLDOWN_MINUTES = 15

const PREFIXES: Readonly<Record<AlertScope, IdPrefix | null>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  run: 'run',
  model: null,
  route: null,
}

/** What a scope names must be of the organization, or a rule could tell of another's traffic. */
const OWNERS: Readonly<
  Partial<Record<AlertScope, (deps: ApiDeps, id: Uuid) => Promise<{ readonly orgId: Uuid } | null>>>
> = {
  organization: async (_deps, orgId) => ({ orgId }),
  project: (deps, id) => deps.tenancy.getProject(id),
  key: (deps, id) => deps.tenancy.getKey(id),
  run: (deps, id) => deps.tenancy.getRun(id),
}

async function storedTerms(deps: ApiDeps, orgId: Uuid, terms: RuleTerms): Promise<RuleTerms> {
  const { parameters } = terms
  if ('bucket' in parameters) bucketOf(deps.catalog.snapshot(), parameters.bucket)
  if (!('scope' in parameters) || parameters.scope_id === undefined) return terms
  const prefix = PREFIXES[parameters.scope]
  if (prefix === null) return terms
  const id = idOf(prefix, parameters.scope_id)
  const owner = await OWNERS[parameters.scope]?.(deps, id)
  if (owner?.orgId !== orgId) throw notFound()
  return { ...terms, parameters: { ...parameters, scope_id: id } } as RuleTerms
}

function shownParameters({ parameters }: RuleTerms): Record<string, unknown> {
  if (!('scope' in parameters) || parameters.scope_id === undefined) return parameters
  const prefix = PREFIXES[parameters.scope]
  return prefix === null ? parameters : { ...parameters, scope_id: formatId(prefix, parameters.scope_id) }
}

function ruleView(rule: Rule): AlertRuleView {
  return {
    id: formatId('alr', rule.id),
    organization: formatId('org', rule.orgId),
    kind: rule.kind,
    parameters: shownParameters(rule),
    description: rule.description,
    emails: [...rule.emails],
    language: rule.language,
    cooldown_minutes: rule.cooldownMinutes,
    state: rule.state,
    created_at: isoTime(rule.createdAtMs),
  }
}

function logged(rule: Rule | null): Json {
  if (rule === null) return null
  const { id: _, organization: __, created_at: ___, ...rest } = ruleView(rule)
  return rest as Json
}

function told(by: Actor, action: string) {
  return async (tx: Parameters<typeof recordEvent>[0], before: Rule | null, after: Rule): Promise<void> => {
    const { orgId, id: objectId } = after
    const change = { before: logged(before), after: logged(after) }
    await recordEvent(tx, by, { orgId, action, objectKind: 'alert_rule', objectId, ...change })
  }
}

async function found(deps: ApiDeps, text: string): Promise<Rule> {
  const rule = await deps.alerts.rules.get(idOf('alr', text))
  if (rule === null) throw notFound()
  return rule
}

const ended = (): FaultError => new FaultError(fault('conflict', 'The rule has ended. Make a new one.'))

/** All rules of all organizations are looked at every minute, one after the other. */
const RULES_MAX = 200

async function assertRoom(deps: ApiDeps, orgId: Uuid): Promise<void> {
  const live = await deps.alerts.rules.list({ orgId, ended: false, before: null, limit: RULES_MAX })
  if (live.length < RULES_MAX) return
  const message = `The organization has ${RULES_MAX} alert rules, which is the most. End one first.`
  throw new FaultError(fault('conflict', message))
}

export const listAlertRules = operation({
  id: 'listAlertRules',
  method: 'GET',
  path: '/api/v1/alert-rules',
  summary: 'Alert rules, newest first',
  callers: ['operator'],
  permission: 'alerts.read',
  params: nothing,
  query: endableQuery,
  body: null,
  response: listOf(alertRuleSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const { orgId } = await scopeOf(deps, caller, { organization: query.organization })
    const rows = await deps.alerts.rules.list({
      orgId,
      ended: query.ended === 'true',
      before: cursorOf('alr', query.cursor),
      limit: query.limit + 1,
    })
    return pageOf('alr', rows, query.limit, ruleView)
  },
})

export const createAlertRule = operation({
  id: 'createAlertRule',
  method: 'POST',
  path: '/api/v1/alert-rules',
  summary: 'Makes an alert rule; it looks every minute from now on',
  callers: ['operator'],
  permission: 'alerts.write',
  params: nothing,
  query: nothing,
  body: newAlertRuleSchema,
  response: alertRuleSchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, caller, by, newId, body }) {
    const orgId = await organizationOf(deps, caller, body.organization)
    await assertRoom(deps, orgId)
    const terms = await storedTerms(deps, orgId, {
      kind: body.kind,
      parameters: body.parameters,
    } as RuleTerms)
    const settings: RuleSettings = {
      description: body.description ?? '',
      emails: body.emails ?? [],
      language: body.language ?? 'en',
      cooldownMinutes: body.cooldown_minutes ?? COOLDOWN_MINUTES,
    }
    const made = await deps.alerts.rules.make(
      { ...terms, ...settings, id: newId, orgId },
      told(by, 'alert_rule.create'),
    )
    return ruleView(made ?? (await found(deps, formatId('alr', newId))))
  },
})

export const getAlertRule = operation({
  id: 'getAlertRule',
  method: 'GET',
  path: '/api/v1/alert-rules/{id}',
  summary: 'One alert rule',
  callers: ['operator'],
  permission: 'alerts.read',
  params: byId,
  query: nothing,
  body: null,
  response: alertRuleSchema,
  faults: ['not_found'],
  run: async ({ deps, params }) => ruleView(await found(deps, params.id)),
})

async function termsOf(deps: ApiDeps, rule: Rule, sent: unknown): Promise<RuleTerms> {
  const checked = validate(RULE_PARAMETERS[rule.kind], sent)
  if (checked.ok)
    return storedTerms(deps, rule.orgId, { kind: rule.kind, parameters: checked.value } as RuleTerms)
  const errors = checked.errors.map(({ field, message }) => ({ field: `parameters.${field}`, message }))
  throw new InvalidRequest('body', errors)
}

async function changeOf(deps: ApiDeps, rule: Rule, body: AlertRuleChange) {
  const { description, emails, language, cooldown_minutes: cooldownMinutes, state } = body
  return {
    ...(description === undefined ? {} : { description }),
    ...(emails === undefined ? {} : { emails }),
    ...(language === undefined ? {} : { language }),
    ...(cooldownMinutes === undefined ? {} : { cooldownMinutes }),
    ...(state === undefined ? {} : { state }),
    ...(body.parameters === undefined ? {} : { terms: await termsOf(deps, rule, body.parameters) }),
  }
}

export const changeAlertRule = operation({
  id: 'changeAlertRule',
  method: 'PATCH',
  path: '/api/v1/alert-rules/{id}',
  summary: 'Changes an alert rule or pauses it; pausing ends its open alerts',
  callers: ['operator'],
  permission: 'alerts.write',
  params: byId,
  query: nothing,
  body: alertRuleChangeSchema,
  response: alertRuleSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, params, body }) {
    const rule = await found(deps, params.id)
    const to = await changeOf(deps, rule, body)
    const changed = await deps.alerts.rules.change(rule.id, to, told(by, 'alert_rule.change'))
    if (changed === null) throw ended()
    return ruleView(changed)
  },
})

export const endAlertRule = operation({
  id: 'endAlertRule',
  method: 'DELETE',
  path: '/api/v1/alert-rules/{id}',
  summary: 'Ends an alert rule and its open alerts; its record stays',
  callers: ['operator'],
  permission: 'alerts.write',
  params: byId,
  query: nothing,
  body: null,
  response: alertRuleSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, params }) {
    const { id } = await found(deps, params.id)
    const changed = await deps.alerts.rules.change(id, { state: 'ended' }, told(by, 'alert_rule.end'))
    if (changed === null) throw ended()
    return ruleView(changed)
  },
})
