import type { AlertFacts } from '../contract/index.ts'
import { type Condition, conditions, type Database, instant } from '../db/index.ts'
import { formatId, isoTime, type Uuid } from '../kernel/index.ts'
import type { Alert, Figures } from './records.ts'
import { RULE_COLUMNS, type RuleRow, ruleOf } from './rules.ts'
import { scopeOf, shownSubject, textOf } from './text.ts'

/** Alerts as rows: what the console shows. */

export interface AlertQuery {
  readonly orgId: Uuid | null
  readonly ruleId: Uuid | null
  readonly open: boolean | null
  readonly acknowledged: boolean | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
  readonly before: bigint | null
  readonly limit: number
}

export interface AlertBook {
  /** Newest first. */
  list(query: AlertQuery): Promise<readonly Alert[]>
  get(id: Uuid): Promise<Alert | null>
  /** Once: who came first is named. */
  acknowledge(id: Uuid, by: string, nowMs: number): Promise<Alert | null>
}

type AlertRow = Omit<RuleRow, 'id' | 'org_id'> & {
  readonly alert_id: Uuid
  readonly id: Uuid
  readonly org_id: Uuid
  readonly seq: bigint
  readonly subject: string
  readonly figures: Figures
  readonly raised_at: Date
  readonly resolved_at: Date | null
  readonly acknowledged_at: Date | null
  readonly acknowledged_by: string | null
}

export const ALERT_FROM = `select a.id as alert_id, a.seq, a.subject, a.figures, a.raised_at, a.resolved_at, a.acknowledged_at,
    a.acknowledged_by, ${RULE_COLUMNS}
  from alerts.alert a join alerts.rule r on r.org_id = a.org_id and r.id = a.rule_id`

const timeOf = (date: Date | null): number | null => (date === null ? null : date.getTime())

export function alertOf(row: AlertRow): Alert {
  return {
    id: row.alert_id,
    seq: row.seq,
    orgId: row.org_id,
    rule: ruleOf(row),
    subject: row.subject,
    figures: row.figures,
    raisedAtMs: row.raised_at.getTime(),
    resolvedAtMs: timeOf(row.resolved_at),
    acknowledgedAtMs: timeOf(row.acknowledged_at),
    acknowledgedBy: row.acknowledged_by,
  }
}

/** An alert as events, mails and the console tell it. */
export function alertFacts(alert: Omit<Alert, 'seq' | 'acknowledgedAtMs' | 'acknowledgedBy'>): AlertFacts {
  const { rule, subject, figures, resolvedAtMs } = alert
  return {
    alert: formatId('alt', alert.id),
    rule: formatId('alr', rule.id),
    kind: rule.kind,
    scope: scopeOf(rule),
    subject: shownSubject(rule, subject),
    figures: { ...figures },
    text: { ...textOf(rule, subject, figures, resolvedAtMs !== null) },
    raised_at: isoTime(alert.raisedAtMs),
    resolved_at: resolvedAtMs === null ? null : isoTime(resolvedAtMs),
  }
}

function conditionOf(
  column: string,
  asked: boolean | null,
  whenTrue: string,
  whenFalse: string,
): readonly string[] {
  return asked === null ? [] : [`${column} ${asked ? whenTrue : whenFalse}`]
}

export function createAlertBook(database: Database): AlertBook {
  async function get(id: Uuid): Promise<Alert | null> {
    const row = await database.maybeOne<AlertRow>(`${ALERT_FROM} where a.id = $1`, [id])
    return row === null ? null : alertOf(row)
  }
  return {
    get,
    async list(query) {
      const asked: readonly Condition[] = [
        ['a.org_id =', query.orgId],
        ['a.rule_id =', query.ruleId],
        ['a.raised_at >=', instant(query.sinceMs)],
        ['a.raised_at <', instant(query.untilMs)],
        ['a.seq <', query.before],
      ]
      const { where, values } = conditions(asked)
      const more = [
        ...conditionOf('a.resolved_at', query.open, 'is null', 'is not null'),
        ...conditionOf('a.acknowledged_at', query.acknowledged, 'is not null', 'is null'),
      ].join(' and ')
      const all =
        where === '' ? (more === '' ? '' : `where ${more}`) : more === '' ? where : `${where} and ${more}`
      const sql = `${ALERT_FROM} ${all} order by a.seq desc limit $${values.length + 1}`
      return (await database.query<AlertRow>(sql, [...values, query.limit])).map(alertOf)
    },
    async acknowledge(id, by, nowMs) {
      await database.query(
        `update alerts.alert set acknowledged_at = $2, acknowledged_by = $3 where id = $1 and acknowledged_at is null`,
        [id, isoTime(nowMs), by],
      )
      return get(id)
    },
  }
}
