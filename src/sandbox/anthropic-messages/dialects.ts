/** Anthropic's answers gained members with the models; which ones a name has follows what was recorded. */
export interface Dialect {
  /** `stop_details` in every answer, not only in refusals. */
  readonly stopDetails: boolean
  /** `output_tokens_details` where the model thought. */
  readonly outputDetails: boolean
  /** What `inference_geo` says unless the request named one. */
  readonly geo: string
}

const OLD: Dialect = { stopDetails: false, outputDetails: false, geo: 'not_available' }
const SINCE_4_6: Dialect = { stopDetails: true, outputDetails: false, geo: 'global' }
const SINCE_5: Dialect = { ...SINCE_4_6, outputDetails: true }

export function dialectOf(model: string): Dialect {
  const name = model.toLowerCase()
  if (/(?:opus|sonnet|haiku|fable|mythos)-(?:[5-9]|\d\d)(?!\d)/.test(name)) return SINCE_5
  if (/-4-[6-9](?!\d)/.test(name)) return SINCE_4_6
  return OLD
}
