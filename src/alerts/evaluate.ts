import type { Database, Queryable } from '../db/index.ts'
import type { NewEvent, Publish } from '../events/index.ts'
import {
  type Clock,
  errorText,
  formatId,
  type IdSource,
  isoTime,
  type Log,
  type Uuid,
} from '../kernel/index.ts'
import { alertFacts } from './alerts.ts'
import { check } from './kinds.ts'
import type { Alert, Figures, Finding, Rule } from './records.ts'
import { RULE_COLUMNS, type RuleRow, ruleOf } from './rules.ts'
import { forgetOld, MINUTE_MS } from './usage.ts'

/** Every minute, in one process: look at each rule, tell what begins and what ends. */
export interface Evaluator {
  /** @returns false: there is never more to do at once */
  turn(): Promise<boolean>
}

/** Puts mails for an event into the queue, in the transaction of the event. */
export type SendMails = (
  tx: Queryable,
  mail: {
    readonly orgId: Uuid
    readonly eventId: Uuid
    readonly emails: readonly string[]
    readonly language: Rule['language']
  },
  nowMs: number,
) => Promise<void>

export interface EvaluatorParts {
  readonly database: Database
  readonly publish: Publish
  readonly sendMails: SendMails
  readonly ids: IdSource
  readonly clock: Clock
  readonly log: Log
}

const TURN_SQL = `select from events.progress where worker = 'alerts' and at <= $1 for no key update skip locked`
const DONE_SQL = `update events.progress set at = $1 where worker = 'alerts'`
const RULES_SQL = `select ${RULE_COLUMNS} from alerts.rule r where r.state = 'active' order by r.org_id, r.id`
const KNOWN_SQL = `select id, subject, figures, raised_at, resolved_at from alerts.alert
  where rule_id = $1 and (resolved_at is null or resolved_at > $2)`
const RAISE_SQL = `insert into alerts.alert (org_id, id, rule_id, subject, figures, raised_at) values ($1, $2, $3, $4, $5::jsonb, $6)`
const RESOLVE_SQL = 'update alerts.alert set resolved_at = $3 where org_id = $1 and id = $2'

interface Known {
  readonly id: Uuid
  readonly subject: string
  readonly figures: Figures
  readonly raised_at: Date
  readonly resolved_at: Date | null
}

type Told = Omit<Alert, 'seq' | 'acknowledgedAtMs' | 'acknowledgedBy'>

/** What a finding means, given what was told before. */
function changesOf(
  rule: Rule,
  findings: readonly Finding[],
  known: readonly Known[],
  ids: IdSource,
  nowMs: number,
) {
  const open = new Map(known.filter((each) => each.resolved_at === null).map((each) => [each.subject, each]))
  const cooling = new Set(known.filter((each) => each.resolved_at !== null).map(({ subject }) => subject))
  const found = new Map(findings.map((finding) => [finding.subject, finding]))
  const { id: ruleId, orgId } = rule
  const raised = findings
    .filter(({ subject, level }) => level === 'over' && !open.has(subject) && !cooling.has(subject))
    .map(
      ({ subject, figures }): Told => ({
        id: ids.uuid(),
        orgId,
        rule,
        subject,
        figures,
        raisedAtMs: nowMs,
        resolvedAtMs: null,
      }),
    )
  // What had no traffic any more is not found, and over.
  const resolved = [...open.values()]
    .filter(({ subject }) => (found.get(subject)?.level ?? 'calm') === 'calm')
    .map(
      ({ id, subject, figures, raised_at }): Told => ({
        id,
        orgId,
        rule,
        subject,
        figures,
        raisedAtMs: raised_at.getTime(),
        resolvedAtMs: nowMs,
      }),
    )
  return { ruleId, raised, resolved }
}

function eventsOf(alert: Told): readonly NewEvent[] {
  const { orgId, resolvedAtMs, rule, figures } = alert
  const resolved = resolvedAtMs !== null
  const told = { orgId, projectId: null, cause: alert.id, atMs: resolvedAtMs ?? alert.raisedAtMs } as const
  const facts: NewEvent = {
    ...told,
    type: resolved ? 'alert.resolved' : 'alert.raised',
    data: alertFacts(alert),
  }
  if (resolved || rule.kind !== 'balance') return [facts]
  const text = (name: string): string => String(figures[name] ?? '')
  const low: NewEvent = {
    ...told,
    type: 'balance.low',
    data: {
      bucket: text('bucket'),
      currency: text('currency'),
      available: text('available'),
      below: text('limit'),
      alert: formatId('alt', alert.id),
    },
  }
  return [facts, low]
}

export function createEvaluator(parts: EvaluatorParts): Evaluator {
  const { database, clock, ids, log } = parts

  async function tell(tx: Queryable, alert: Told, nowMs: number): Promise<void> {
    const { orgId, rule } = alert
    const events = await parts.publish(tx, eventsOf(alert))
    const first = events.find(({ type }) => type === 'alert.raised' || type === 'alert.resolved')
    const { emails, language } = rule
    if (first !== undefined) await parts.sendMails(tx, { orgId, eventId: first.id, emails, language }, nowMs)
  }

  async function look(tx: Queryable, rule: Rule, nowMs: number): Promise<void> {
    const findings = await check(tx, rule, nowMs)
    const cooledMs = nowMs - rule.cooldownMinutes * MINUTE_MS
    const known = await tx.query<Known>(KNOWN_SQL, [rule.id, isoTime(cooledMs)])
    const { raised, resolved } = changesOf(rule, findings, known, ids, nowMs)
    for (const alert of raised) {
      const figures = JSON.stringify(alert.figures)
      await tx.query(RAISE_SQL, [rule.orgId, alert.id, rule.id, alert.subject, figures, isoTime(nowMs)])
      await tell(tx, alert, nowMs)
    }
    for (const alert of resolved) {
      await tx.query(RESOLVE_SQL, [rule.orgId, alert.id, isoTime(nowMs)])
      await tell(tx, alert, nowMs)
    }
  }

  return {
    async turn() {
      const nowMs = clock.nowMs()
      return database.tx(async (tx) => {
        if ((await tx.maybeOne(TURN_SQL, [isoTime(nowMs - MINUTE_MS)])) === null) return false
        for (const row of await tx.query<RuleRow>(RULES_SQL)) {
          await tx.query('savepoint rule')
          try {
            await look(tx, ruleOf(row), nowMs)
          } catch (thrown) {
            // One rule that cannot be looked at must not silence the others.
            await tx.query('rollback to savepoint rule')
            log.error({ rule: row.id, error: errorText(thrown) }, 'an alert rule could not be looked at')
          }
          await tx.query('release savepoint rule')
        }
        await forgetOld(tx, nowMs)
        await tx.query(DONE_SQL, [isoTime(nowMs)])
        return false
      })
    },
  }
}
