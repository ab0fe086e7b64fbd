import type { Language, RuleKind, RuleParameters, RuleState } from '../contract/index.ts'
import type { Uuid } from '../kernel/index.ts'

interface RuleTermsOf<K extends RuleKind> {
  readonly kind: K
  readonly parameters: RuleParameters<K>
}

/** A kind with the parameters of that kind. */
export type RuleTerms = { readonly [K in RuleKind]: RuleTermsOf<K> }[RuleKind]

export interface RuleSettings {
  readonly description: string
  readonly emails: readonly string[]
  readonly language: Language
  readonly cooldownMinutes: number
}

export type Rule = RuleTerms &
  RuleSettings & {
    readonly id: Uuid
    readonly orgId: Uuid
    readonly state: RuleState
    readonly createdAtMs: number
  }

export type Figures = Readonly<Record<string, string | number>>

/** What a rule found out about one subject. */
export interface Finding {
  /** As it is stored: an id without prefix, a model, a route, a bucket. */
  readonly subject: string
  /** `over`: it is to be told. `calm`: it is well within. `between`: neither begins nor ends an alert. */
  readonly level: 'over' | 'between' | 'calm'
  readonly figures: Figures
}

export interface Alert {
  readonly id: Uuid
  readonly seq: bigint
  readonly orgId: Uuid
  readonly rule: Rule
  readonly subject: string
  readonly figures: Figures
  readonly raisedAtMs: number
  readonly resolvedAtMs: number | null
  readonly acknowledgedAtMs: number | null
  readonly acknowledgedBy: string | null
}
