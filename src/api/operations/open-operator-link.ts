import { z } from 'zod'
import { FaultError, fault } from '../../contract/index.ts'
import { redeemOperatorCode } from '../../tenancy/index.ts'
import { operation } from '../operation.ts'

/** Text rather than a page: it is read once, at a terminal or in a browser, and kept in a password manager. */
function welcome(token: string): string {
  return [
    'Tokens Forge',
    '',
    'This link has now been used and will not work again.',
    '',
    `operator token: ${token}`,
    '',
    'It may do everything in this installation. On this machine the forge command finds it by itself;',
    'elsewhere set FORGE_OPERATOR_TOKEN, or send it as "Authorization: Bearer <token>" to /api/v1.',
    '',
  ].join('\n')
}

export const openOperatorLink = operation({
  id: 'openOperatorLink',
  method: 'GET',
  path: '/operator/{code}',
  summary: 'Hands the operator token to whoever opens the one-time link first',
  callers: ['anyone'],
  params: z.strictObject({ code: z.string().min(1).max(200) }),
  query: z.strictObject({}),
  body: null,
  response: z.string(),
  contentType: 'text/plain; charset=utf-8',
  faults: ['not_found'],
  async run({ deps, params }) {
    if (!(await redeemOperatorCode(deps.database, params.code)))
      throw new FaultError(fault('not_found', 'This link was used, is too old, or never was one.'))
    return welcome(deps.operatorToken)
  },
})
