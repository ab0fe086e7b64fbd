/**
 * What keys are made for. Each has a label of its own, since a key that served two ends would let what one of them gives
 * out be used as the other (a sealed value as a session, a cursor as a signature).
 */
export const PURPOSES = {
  session: 'tokens-forge/1/session',
  webhook_secret: 'tokens-forge/1/webhook-secret',
  master_key_check: 'tokens-forge/1/master-key-check',
} as const

export type Purpose = keyof typeof PURPOSES
