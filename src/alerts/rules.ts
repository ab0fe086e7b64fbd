import type { Language, RuleKind, RuleState } from '../contract/index.ts'
import { RULE_PARAMETERS } from '../contract/index.ts'
import { conditions, type Database, type Queryable } from '../db/index.ts'
import type { Json, Uuid } from '../kernel/index.ts'
import type { Rule, RuleSettings, RuleTerms } from './records.ts'

/** Rules as rows. */

export interface RuleQuery {
  readonly orgId: Uuid | null
  readonly ended: boolean
  readonly before: Uuid | null
  readonly limit: number
}

export interface RuleRow {
  readonly id: Uuid
  readonly org_id: Uuid
  readonly kind: RuleKind
  readonly parameters: Json
  readonly description: string
  readonly emails: string[]
  readonly language: Language
  readonly cooldown_minutes: number
  readonly state: RuleState
  readonly created_at: Date
}

export const RULE_COLUMNS =
  'r.id, r.org_id, r.kind, r.parameters, r.description, r.emails, r.language, r.cooldown_minutes, r.state, r.created_at'

/** Stored parameters are read by the schema of the kind: what a later version adds has its default here. */
export function ruleOf(row: RuleRow): Rule {
  const terms = { kind: row.kind, parameters: RULE_PARAMETERS[row.kind].parse(row.parameters) } as RuleTerms
  return {
    ...terms,
    id: row.id,
    orgId: row.org_id,
    description: row.description,
    emails: row.emails,
    language: row.language,
    cooldownMinutes: row.cooldown_minutes,
    state: row.state,
    createdAtMs: row.created_at.getTime(),
  }
}

/** Runs in the transaction of a change, for the log of changes. */
export type RuleTold = (tx: Queryable, before: Rule | null, after: Rule) => Promise<void>

export type RuleChange = Partial<RuleSettings> & { readonly terms?: RuleTerms; readonly state?: RuleState }

export interface RuleBook {
  /** @returns null when the id is in use */
  make(
    input: RuleTerms & RuleSettings & { readonly id: Uuid; readonly orgId: Uuid },
    told: RuleTold,
  ): Promise<Rule | null>
  get(id: Uuid): Promise<Rule | null>
  /** Newest first. */
  list(query: RuleQuery): Promise<readonly Rule[]>
  /** @returns null when there is none, or it has ended */
  change(id: Uuid, to: RuleChange, told: RuleTold): Promise<Rule | null>
}

const FROM = `select ${RULE_COLUMNS} from alerts.rule r`
const INSERT_SQL = `insert into alerts.rule (org_id, id, kind, parameters, description, emails, language, cooldown_minutes)
  values ($1, $2, $3, $4::jsonb, $5, $6, $7, $8) on conflict (id) do nothing returning id`
const UPDATE_SQL = `update alerts.rule set parameters = $2::jsonb, description = $3, emails = $4, language = $5, cooldown_minutes = $6,
  state = $7 where id = $1`

// Nobody looks any more, so nobody would end them.
const RESOLVE_SQL = `update alerts.alert set resolved_at = clock_timestamp() where rule_id = $1 and resolved_at is null`

export function createRuleBook(database: Database): RuleBook {
  async function read(from: Queryable, id: Uuid, more = ''): Promise<Rule | null> {
    const row = await from.maybeOne<RuleRow>(`${FROM} where r.id = $1 ${more}`, [id])
    return row === null ? null : ruleOf(row)
  }
  return {
    get: (id) => read(database, id),
    async make(input, told) {
      const { id, orgId, kind, parameters, description, emails, language, cooldownMinutes } = input
      return database.tx(async (tx) => {
        const values = [
          orgId,
          id,
          kind,
          JSON.stringify(parameters),
          description,
          emails,
          language,
          cooldownMinutes,
        ]
        if ((await tx.maybeOne(INSERT_SQL, values)) === null) return null
        const rule = await read(tx, id)
        if (rule !== null) await told(tx, null, rule)
        return rule
      })
    },
    async list({ orgId, ended, before, limit }) {
      const { where, values } = conditions([
        ['r.org_id =', orgId],
        ['r.state <>', ended ? null : 'ended'],
        ['r.id <', before],
      ])
      const sql = `${FROM} ${where} order by r.id desc limit $${values.length + 1}`
      return (await database.query<RuleRow>(sql, [...values, limit])).map(ruleOf)
    },
    change: (id, { terms, ...to }, told) =>
      database.tx(async (tx) => {
        const now = await read(tx, id, `and r.state <> 'ended' for no key update`)
        if (now === null) return null
        const next = { ...now, ...terms, ...to } as Rule
        const { parameters, description, emails, language, cooldownMinutes, state } = next
        const values = [id, JSON.stringify(parameters), description, emails, language, cooldownMinutes, state]
        await tx.query(UPDATE_SQL, values)
        if (state !== 'active') await tx.query(RESOLVE_SQL, [id])
        await told(tx, now, next)
        return next
      }),
  }
}
