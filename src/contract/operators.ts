import { z } from 'zod'

/** People who operate the installation. */

export const operatorRole = z
  .enum(['admin', 'auditor'])
  .describe('an auditor reads everything and changes nothing')

export const operatorSchema = z.object({
  id: z.string().describe('usr_…'),
  email: z.string(),
  name: z.string(),
  role: operatorRole,
  two_factor: z.boolean().describe('whether a second factor is asked'),
  created_at: z.string().describe('RFC 3339, UTC'),
})
export type OperatorView = z.infer<typeof operatorSchema>

export const newOperatorSchema = z.strictObject({
  email: z.email().max(320).describe('of a person who has an account'),
  role: operatorRole,
})
export type NewOperator = z.infer<typeof newOperatorSchema>

export const operatorLinkSchema = z.object({
  url: z.string().describe('works once, within 24 hours; makes an admin of whoever opens it first'),
})
